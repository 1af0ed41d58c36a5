"""What a person sees of the figures."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from .charts import chart
from .document import write_document
from .results import load
from .rounds import Rounds
from .works.everything import WORKS

SVG = "{http://www.w3.org/2000/svg}"


def bars_of(svg: str) -> list[float]:
    """The bars' lengths, without the squares of the legend."""
    boxes = ElementTree.fromstring(svg).iter(f"{SVG}rect")
    return [
        float(box.attrib["width"])
        for box in boxes
        if box.attrib["class"] in ("ours", "others") and box.attrib["height"] != "12.0"
    ]


def memory(**figures: float) -> str:
    rounds = {name.replace("_", "+"): [{"memory": value}] for name, value in figures.items()}
    return chart(WORKS["memory"], Rounds("memory", rounds).measured([]))


def curves(**ends: list[float]) -> str:
    rounds = {name: [dict(zip(("1", "256"), values, strict=True))] for name, values in ends.items()}
    return chart(WORKS["stalled-reader"], Rounds("stalled-reader", rounds).measured([]))


def lines_of(svg: str, kind: str) -> list[list[tuple[float, ...]]]:
    """The lines of that class, each as its points."""
    return [
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline")
        if line.attrib["class"] == kind
    ]


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
    svg = curves(**{"anyio+asyncio": [0.0, 0.0], "anyio+trio": [0.0, 0.0]})
    assert svg.count(">0.00<") == 1
    assert ">at most 4<" in svg
    [axis], [limit, _legend] = lines_of(svg, "axis"), lines_of(svg, "limit")
    bottom = axis[1][1]
    drawn = [height for curve in lines_of(svg, "line ours") for _, height in curve]
    assert drawn == [bottom] * 4
    assert limit[0][1] < bottom


def test_every_chart_says_what_is_good_and_what_the_colours_are() -> None:
    svg = memory(floor=400.0, anyio_trio=800.0)
    assert ">per connection, B: less is better<" in svg
    assert ">halfclose<" in svg
    assert ">without halfclose<" in svg
    assert ">the middle half of the rounds<" not in svg
    assert ">without halfclose<" not in memory(anyio_trio=800.0)
    assert "less is better, and a line should not rise<" in curves(**{"anyio+trio": [1.0, 2.0]})
    rate = chart(
        WORKS["bulk-out"],
        Rounds("bulk-out", {"floor": [{"throughput": 1.0}, {"throughput": 2.0}]}).measured([]),
    )
    assert ">throughput, MiB/s: more is better<" in rate
    assert ">the middle half of the rounds<" in rate


def test_names_at_the_ends_of_curves_are_apart_and_beside_them() -> None:
    same = {name: [1.0, 2.0] for name in ("anyio+asyncio", "anyio+trio", "twisted+poll")}
    svg = curves(**same, **{"twisted+epoll": [1.0, 4.0], "twisted+select": [0.0, 0.0]})
    leaders = lines_of(svg, "leader")
    named = sorted(name[1] for _, name in leaders)
    assert all(below - above >= 16 for above, below in pairwise(named))
    # Three that end at the same height: the middle one has its name beside it.
    ends = [(end[1], name[1]) for end, name in leaders]
    assert sum(end == name for end, name in ends) == 3
    assert svg.count(">twisted+poll<") == 1


def test_the_page_and_its_charts_are_made_from_the_figures_beside_them(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    readme, document = tmp_path / "README.md", tmp_path / "benchmarks.md"
    shutil.copy(root / "README.md", readme)
    shutil.copy(root / "docs" / "benchmarks.md", document)
    kept = root / "docs" / "benchmarks"
    write_document(load(kept / "results.json"), document, readme)
    assert readme.read_text() == (root / "README.md").read_text()
    assert document.read_text() == (root / "docs" / "benchmarks.md").read_text()
    made = {path.name: path.read_text() for path in (tmp_path / "benchmarks").iterdir()}
    assert made == {path.name: path.read_text() for path in kept.iterdir()}
