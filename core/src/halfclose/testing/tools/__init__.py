"""What a rule is written with: connections, protocols that record, ways to wait."""
