"""Programs that answer requests (RFC 3875): how they are found, run, fed and understood."""
