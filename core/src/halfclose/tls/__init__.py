"""TLS: certificates of servers and clients, for `TLSOptions`; and a channel over a channel.

A program that wants the certificates imports this module. ``import halfclose`` does not import it,
because `ssl` costs memory and time.
"""

from .certificates import Certificates
from .contexts import client_context
from .key_pairs import KeyPair

__all__ = ["Certificates", "KeyPair", "client_context"]
