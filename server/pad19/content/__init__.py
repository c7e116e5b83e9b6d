"""Files to responses."""
