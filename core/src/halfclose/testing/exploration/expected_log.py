"""Checks what was logged while a script was performed: nothing may be missing, and nothing more may
be there."""

from __future__ import annotations

import logging

from .model import Model

__all__ = ["check_log"]


def check_log(model: Model, records: list[logging.LogRecord]) -> None:
    """Check for one traceback of each exception (ERR-02), one warning of each end that dropped
    bytes (VRB-05), and nothing else.

    :param model: is told what is missing or too much.
    :param records: all that was logged; loggers of other packages do not count.
    """
    raised = [error for side in model.sides for error in side.raised]
    warnings = 0
    for record in records:
        error = record.exc_info[1] if record.exc_info else None
        if not record.name.startswith("halfclose"):
            continue
        if error is None and "dropped" in record.getMessage():
            warnings += 1
        elif error in raised:
            raised.remove(error)
        else:
            model.breaks("ERR-12", model.a, f"logged: {record.getMessage()} ({error!r})")
    for error in raised:
        model.breaks("ERR-02", model.a, f"{error!r} was not logged")
    owed = sum(1 for side in model.sides if side.dropped)
    if warnings != owed:
        model.breaks("VRB-05", model.a, f"{warnings} warnings of dropped bytes, not {owed}")
