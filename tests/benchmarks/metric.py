"""What is measured, and in what unit."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BUSY", "CPU", "LOAD_BUSY", "Figures", "Metric"]

Figures = dict[str, float]
"""One round's figures, by the metric's name."""


@dataclass(frozen=True)
class Metric:
    """One figure.

    :param name: what JSON and the bars call it.
    :param title: what the table calls it.
    :param unit: what follows the number.
    :param more_is_better: such as a rate; otherwise such as a time.
    :param documented: has a column in the document, as a work's first figure always has.
    """

    name: str
    title: str
    unit: str
    more_is_better: bool = False
    documented: bool = False


CPU = Metric("cpu", "server CPU", "µs")
BUSY = Metric("server_busy", "server busy", "%")
LOAD_BUSY = Metric("load_busy", "generator busy", "%")
