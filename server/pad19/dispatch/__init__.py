"""Request to handler to response: which capsule, which handler, and one record of it."""
