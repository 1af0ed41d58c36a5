"""Runs every rule on every column and writes docs/scorecard.md; see `table`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .columns import COLUMNS
from .judging import Seen, judge
from .plugin import install
from .table import document

SCORECARD = Path(__file__).parents[2] / "docs" / "scorecard.md"


def main() -> int:
    """The command; its result is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scorecard", description=__doc__)
    parser.parse_args()
    install()
    processors = os.cpu_count() or 1
    count = 0

    def progress(seen: Seen) -> None:
        nonlocal count
        count += 1
        print(
            count,
            seen.outcome.value,
            seen.rule,
            seen.backend,
            seen.channel_type,
            seen.what,
            file=sys.stderr,
            flush=True,
        )

    # Half of the stock frameworks' cases wait for what never comes; rules about time want quiet.
    seen = judge(COLUMNS[1:], jobs=3 * processors, progress=progress)
    seen += judge(COLUMNS[:1], jobs=processors, progress=progress)
    SCORECARD.write_text(document(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
