"""Bytes to values and back: no I/O, no clock; the standard library, idna and the store's interface only."""
