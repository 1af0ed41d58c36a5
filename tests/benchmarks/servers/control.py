"""The server's end of its control line: it tells what it has used, when asked.

A thread of its own answers. Between two questions it waits in a read, and so costs nothing.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

__all__ = ["answer_in_background", "tell"]


def tell(message: dict[str, float]) -> None:
    """One line of JSON for whoever started this process."""
    print(json.dumps(message), flush=True)


def answer_in_background() -> None:
    """Answer each line of standard input; end the process when it ends."""
    threading.Thread(target=_answer, daemon=True).start()


def _answer() -> None:
    for question in sys.stdin:
        if question.strip() == "memory":
            gc.collect()
            tell({"memory": _resident()})
        else:
            tell({"cpu": time.process_time()})
    os._exit(0)


def _resident() -> int:
    """Bytes of memory that this process alone holds: resident, less what is shared with files."""
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
