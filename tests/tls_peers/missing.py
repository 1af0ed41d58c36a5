"""Tells which peers are not here, on stderr, and prints the packages of Debian that have them."""

from __future__ import annotations

import sys

from tls_peers.catalogue import PEERS

missing = [peer for peer in PEERS if peer.missing is not None]
for peer in missing:
    print(peer.missing, file=sys.stderr)
print(*dict.fromkeys(package for peer in missing for package in peer.package.split()))
