"""An event loop of its own, and halfclose on it."""
