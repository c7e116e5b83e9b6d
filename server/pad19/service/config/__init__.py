"""``pad19.toml`` -> values: what it can say, how it is read, and what ails it."""
