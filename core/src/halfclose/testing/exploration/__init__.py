"""Exploration: makes up scripts for the two ends of a connection, performs them, and checks what
the ends see against a model of the contract.

`ExplorationSuite` is for a test suite, `explore` and `replay` are for any other program.
"""

from .exploring import explore, replay
from .parsing import ScriptError, parse_script
from .profiles import register_profiles
from .report import Report
from .script import Script
from .suite import ExplorationSuite

__all__ = [
    "ExplorationSuite",
    "Report",
    "Script",
    "ScriptError",
    "explore",
    "parse_script",
    "register_profiles",
    "replay",
]
