"""Exploration: scripts for two ends of a connection, made up, performed, and compared with a model.

`ExplorationSuite` is for a test suite, `explore` and `replay` for anything else.
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
