"""Input and output: sockets and pipes, served by our own poller inside any event loop."""
