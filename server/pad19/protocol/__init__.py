"""Bytes to values and back: no I/O, no clock, the standard library and idna only."""
