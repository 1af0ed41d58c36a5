"""What was seen of the peers in the last whole run, and in which versions: ``results.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from .catalogue import Seen
from .setting import Side

__all__ = ["Results", "load", "save"]

_FILE = Path(__file__).parent / "results.json"


class Results(NamedTuple):
    """What a run has seen.

    :param programs: the version of each peer, by its name.
    :param seen: by peer, by its side of TLS, by version of TLS.
    """

    programs: dict[str, str]
    seen: dict[str, dict[Side, dict[str, Seen]]]


def load() -> Results:
    """What is recorded."""
    found = json.loads(_FILE.read_text())
    return Results(
        {name: peer["version"] for name, peer in found.items()},
        {
            name: {
                side: {version: Seen(**seen) for version, seen in versions.items()}
                for side, versions in peer["seen"].items()
            }
            for name, peer in found.items()
        },
    )


def save(results: Results) -> None:
    """Record it."""
    found = {
        name: {
            "version": results.programs[name],
            "seen": {
                side: {version: seen._asdict() for version, seen in versions.items()}
                for side, versions in sides.items()
            },
        }
        for name, sides in results.seen.items()
    }
    _FILE.write_text(json.dumps(found, indent=2) + "\n")
