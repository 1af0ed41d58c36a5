"""``python -m benchmarks.servers``: one server, or one end of exchanges, in this process."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Iterator
from typing import Any

from ..catalogue import named
from ..cores import pin, raise_limit
from .control import answer_in_background, tell


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.servers")
    parser.add_argument("--core", type=int, help="the processor core to run on")
    roles = parser.add_subparsers(dest="role", required=True)
    serve = roles.add_parser("serve", help="serve until standard input ends")
    serve.add_argument("name")
    serve.add_argument("service")
    exchange = roles.add_parser("exchange", help="be the client of the service 'reply'")
    exchange.add_argument("name")
    for number in ("port", "count", "size"):
        exchange.add_argument(number, type=int)
    return parser.parse_args()


_WARM = 20
"""Exchanges that come before those that are timed: they import what is needed."""


def _timed(count: int) -> Iterator[int]:
    """Turns; what those after the first few took is told when they have ended."""
    yield from range(_WARM)
    cpu, begun = time.process_time(), time.perf_counter()
    yield from range(count)
    tell({"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - begun})


def main() -> None:
    """Do what the command line says."""
    given = _arguments()
    pin(given.core)
    raise_limit()
    server = named(given.name)
    module: Any = importlib.import_module(f"{__package__}.{server.module}")
    if given.role == "serve":
        answer_in_background()
        module.serve(server.variant, given.service, lambda port: tell({"port": port}))
        return
    module.exchange(server.variant, given.port, _timed(given.count), bytes(given.size))


if __name__ == "__main__":
    main()
