"""TLS: a channel over a channel."""
