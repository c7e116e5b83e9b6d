"""Programs that answer requests (RFC 3875), and servers behind SCGI: how they are run, fed and understood."""
