"""Tools to write rules with: connections, protocols that record events, ways to wait."""
