"""`Connection`: joins a protocol and a channel, and keeps the contract between them.

connection.py has the class and says how it works. The other files are its base classes and parts.
"""

from .connection import Connection

__all__ = ["Connection"]
