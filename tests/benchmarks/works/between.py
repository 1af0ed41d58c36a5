"""What core costs, without any system call."""

from __future__ import annotations

import json
import subprocess

from ..catalogue import Server
from ..metric import Figures, Metric
from ..running_server import HERE, python
from .work import Work

__all__ = ["Between"]


class Between(Work):
    """A message from a channel and its echo to the channel, less the same without core."""

    name = "core"
    title = "What core adds to a message and its echo, with every guarantee on"
    metrics = (Metric("added", "added", "µs"),)
    ours_only = True

    def measure(self, server: Server) -> Figures:
        command = python("-m", "benchmarks.between", server.variant)
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
        return {"added": 1e6 * float(json.loads(done.stdout)["added"])}
