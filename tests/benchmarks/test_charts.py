"""What a person sees of the figures."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .charts import chart
from .results import Measured
from .works.everything import WORKS

SVG = "{http://www.w3.org/2000/svg}"


def bars_of(svg: str) -> list[float]:
    """The bars' lengths."""
    boxes = ElementTree.fromstring(svg).iter(f"{SVG}rect")
    return [float(box.attrib["width"]) for box in boxes if box.attrib["class"] in ("ours", "peer")]


def memory(**figures: float) -> str:
    rounds = {name.replace("_", "-"): [{"memory": value}] for name, value in figures.items()}
    return chart(WORKS["memory"], Measured(rounds))


def test_bars_are_as_long_as_their_figures() -> None:
    floor, asyncio, trio = bars_of(memory(floor=400.0, asyncio=800.0, trio=1600.0))
    assert (round(asyncio / floor, 2), round(trio / floor, 2)) == (2.0, 4.0)


def test_one_that_is_far_longer_than_all_others_is_cut_and_says_so() -> None:
    svg = memory(floor=400.0, asyncio=800.0, easynetwork=272_840.0)
    floor, asyncio, easynetwork = bars_of(svg)
    assert (round(asyncio / floor, 2), round(easynetwork / floor, 2)) == (2.0, 2.2)
    assert svg.count('class="break"') == 1
    assert ">272,840<" in svg
    assert 'class="break"' not in memory(floor=400.0, asyncio=800.0)
    assert 'class="break"' not in memory(floor=400.0)


def test_a_curve_of_nothing_lies_on_the_axis() -> None:
    svg = chart(
        WORKS["stalled-reader"],
        Measured({"anyio+asyncio": [{"1": 0.0, "256": 0.0}], "anyio+trio": [{"1": 0, "256": 0}]}),
    )
    assert svg.count(">0.00<") == 1
    assert ">at most 4<" in svg
    axis, limit, *curves = re.findall(r'points="([^"]*)"', svg)
    bottom = axis.split()[1].split(",")[1]
    assert {point.split(",")[1] for curve in curves for point in curve.split()} == {bottom}
    assert float(limit.split(",")[-1]) < float(bottom)
