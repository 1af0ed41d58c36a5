"""Measures what this process holds; for scripts in processes of their own, with glibc's malloc.

Run them with ``PYTHONMALLOC=malloc``, so that Python's objects are counted too.
"""

from __future__ import annotations

import ctypes
import gc
import os

__all__ = ["held", "open_descriptors"]

_FIELDS = (
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
)


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]

    uordblks: int
    hblkhd: int


def held() -> int:
    """Bytes that malloc has given out and that were not freed.

    :raises AttributeError: the system's library is not glibc.
    """
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo
    gc.collect()
    found: _Mallinfo = mallinfo2()
    return found.uordblks + found.hblkhd


def open_descriptors() -> int:
    """How many descriptors are open."""
    return len(os.listdir("/proc/self/fd"))
