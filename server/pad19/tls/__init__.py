"""TLS for trio: the only room that knows OpenSSL and cryptography."""
