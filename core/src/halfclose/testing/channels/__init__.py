"""Types of channel, and the raw peer at the other end of each."""
