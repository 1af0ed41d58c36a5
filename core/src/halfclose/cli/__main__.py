"""Runs the command by ``python -m halfclose.cli``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
