"""Runs a module as ``python -m`` does, and tells at the end of every connection that there was.

What is in the examples could pass without the backend being left; a connection that nobody closed
would then never be lost.
"""

from __future__ import annotations

import runpy
import sys

import halfclose
from halfclose.hooks import hookimpl


class Count:
    """Counts connections, and how they ended."""

    def __init__(self) -> None:
        self.made = 0
        self.lost: list[str] = []

    @hookimpl
    def halfclose_connection_made(self) -> None:
        self.made += 1

    @hookimpl
    def halfclose_connection_lost(self, reason: BaseException) -> None:
        self.lost.append(type(reason).__name__)


if __name__ == "__main__":
    count = Count()
    halfclose.plugins.register(count)
    _, module, *sys.argv[1:] = sys.argv
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        ends = ", ".join(sorted(set(count.lost))) or "none"
        print(f"\nconnections: {count.made} made, {len(count.lost)} lost: {ends}", flush=True)
