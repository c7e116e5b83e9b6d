"""State that survives: values, counters and lists for routes, on SQLite."""
