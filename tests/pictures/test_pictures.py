"""The pictures of docs/pictures: they show what the code does now, and everybody can read them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from documents.blocks import ROOT, pages
from halfclose import available_backends
from halfclose.cli.ladder import Entry, Events
from halfclose.lifecycle import TABLE, Move, State
from pictures import life_cycle
from pictures.catalogue import FOLDER, PICTURES
from pictures.drawing import WIDTH
from pictures.ladder_picture import draw
from pictures.palette import DARK, LIGHT, Palette, contrast

SVG = "{http://www.w3.org/2000/svg}"
PHONE = 328
"""How many pixels a picture has on a phone that is 360 wide."""


def stored(name: str) -> str:
    return (FOLDER / f"{name}.svg").read_text()


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", PICTURES)
def test_it_is_what_the_code_draws_now(name: str) -> None:
    """Else write it anew: ``.uv/bin/uv run --directory tests python -m pictures``."""
    if "terminal" in name and "twisted+epoll" not in available_backends():
        pytest.skip("here are other variants than on the recording")
    assert PICTURES[name]() == stored(name)


def test_there_is_no_other() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.svg" for name in PICTURES}


@pytest.mark.parametrize("name", PICTURES)
def test_it_needs_nothing_from_elsewhere_and_says_what_it_shows(name: str) -> None:
    svg = stored(name)
    assert len(svg) < 60_000
    assert not re.search(r"<script|url\(|@import|<image|<foreignObject|href=|\bon\w+=", svg)
    assert re.findall(r"https?:[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    drawn = ElementTree.fromstring(svg)
    assert [child.tag for child in drawn[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert all(child.text for child in drawn[:2])
    assert drawn.attrib["role"] == "img"


@pytest.mark.parametrize("name", PICTURES)
def test_it_can_be_read_on_a_phone(name: str) -> None:
    svg = stored(name)
    _, _, width, _ = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split())
    sizes = [float(size) for size in re.findall(r"font(?:-size)?:(\d+)px", svg)]
    if name != "terminal":  # terminal-narrow is there for phones
        assert width <= WIDTH + 4
        assert min(sizes) * PHONE / width > 8.8


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(palette: Palette) -> None:
    """As WCAG AA wants it: 4.5 for texts, 3 for what is drawn."""
    for colour in (palette.text, palette.dim, palette.ours, palette.theirs, palette.good):
        assert contrast(colour, palette.page) >= 4.5, colour
        assert contrast(colour, palette.box) >= 4.5, colour
    assert contrast(palette.line, palette.page) >= 3


def test_black_on_white_has_the_most_contrast() -> None:
    assert round(contrast("000000", "ffffff"), 6) == 21
    assert contrast("0969da", "0969da") == 1


# -- the single ones -------------------------------------------------------------------------------


def test_both_recordings_show_that_all_agree() -> None:
    for name in ("terminal", "terminal-narrow"):
        assert stored(name).count(">✓<") == 14 * 8
        assert texts(stored(name))[-1] == "All 8 variants agree."


def test_whoever_wants_no_motion_sees_the_whole_screen() -> None:
    assert "@media(prefers-reduced-motion:reduce){.c{animation:none}}" in stored("terminal")
    delays = [float(each) for each in re.findall(r"animation-delay:([\d.]+)s", stored("terminal"))]
    # What moves for longer than five seconds would have to be stoppable.
    assert 1 < max(delays) < 5


def test_every_state_and_every_move_is_in_the_life_cycle() -> None:
    said = texts(stored("life-cycle"))
    whole = " ".join(said)
    for state in State:
        assert state.value in whole.replace("- write-closing", "-write-closing")
    for move in Move:
        assert move.value in said or all(word in said for word in move.value.split())


def test_a_move_that_has_no_place_in_the_life_cycle_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = {**TABLE, State.CLOSING: {**TABLE[State.CLOSING], Move.READ_ENDED: State.OPEN}}
    monkeypatch.setattr(life_cycle, "TABLE", more)
    with pytest.raises(AssertionError, match="the picture lacks"):
        life_cycle.life_cycle()


def test_the_table_of_the_life_cycle_is_that_of_the_code() -> None:
    assert life_cycle.table() in (ROOT / "docs" / "architecture.md").read_text()


def test_an_arrow_joins_what_was_sent_and_what_came() -> None:
    def arrows(events: Events) -> int:
        return draw(events).count("<polygon")

    made = Entry("connectionMade")
    write, data = Entry("write", "b'x'", True), Entry("dataReceived", "b'x'")
    assert arrows(Events((made, write), (made,))) == 0
    assert arrows(Events((made, write), (made, data))) == 1
    end, told = Entry("loseWriteConnection", "", True), Entry("readConnectionLost")
    assert arrows(Events((made, write, end), (made, data, told))) == 2


# -- the pages -------------------------------------------------------------------------------------


def shown(page: Path) -> list[tuple[str, str]]:
    """The pictures of docs/pictures on *page*: alternative text, and name."""
    text = page.read_text()
    found = re.findall(r"!\[([^]]*)\]\([^)]*pictures/([\w-]+)\.svg\)", text)
    tags = re.findall(r"<img [^>]*pictures/[^>]*>", text)
    for tag in tags:
        source, alternative = re.search(r"([\w-]+)\.svg", tag), re.search(r'alt="([^"]*)"', tag)
        found.append((alternative[1] if alternative else "", source[1] if source else ""))
    return found


_ON_FRONT = {"half-close", "terminal", "terminal-narrow"}
"""Those that README may show or leave out."""


def test_each_is_on_a_page_and_has_a_text_in_its_place() -> None:
    everywhere = [each for page in pages() for each in shown(page)]
    assert {name for _, name in everywhere} >= set(PICTURES) - _ON_FRONT
    for alternative, name in everywhere:
        assert name in PICTURES
        assert len(alternative.split()) >= 5, name
