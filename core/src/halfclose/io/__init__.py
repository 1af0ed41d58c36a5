"""The socket lane: sockets and pipes served by our own poller, inside any event loop."""
