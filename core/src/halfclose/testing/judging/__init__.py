"""Runs each rule in a process of its own, and reports which rules a backend keeps."""
