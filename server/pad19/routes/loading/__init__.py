"""Modules to routes: how the files of a folder are imported, and what is told of those that are broken."""
