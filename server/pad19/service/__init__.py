"""Processes, their configuration and their logs."""
