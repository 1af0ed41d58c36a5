"""The channel types on which rules run, and the raw peer at the other end of each."""
