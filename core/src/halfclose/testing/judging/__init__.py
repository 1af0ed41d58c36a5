"""Runs the rules, each in a process of its own, and says which are kept."""
