"""Plugins are looked up again where something was installed, and only there."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from halfclose import entrypoints
from halfclose.entrypoints import installed_plugins
from halfclose.hooks import GROUP
from installing import distribution


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often `importlib` was asked."""
    asked: list[str] = []

    def counted(group: str) -> object:
        asked.append(group)
        return entry_points(group=group)

    monkeypatch.setattr(entrypoints, "_known", None)
    monkeypatch.setattr(entrypoints, "entry_points", counted)
    return asked


def install(name: str, folder: Path) -> None:
    distribution(folder, name, {name: name})


def names() -> set[str]:
    return {entry.name for entry in installed_plugins(GROUP)}


def test_once_where_nothing_changes(lookups: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Other folders of the path, such as the current one, may change meanwhile.
    installed = [folder for folder in sys.path if folder.endswith("site-packages")]
    monkeypatch.setattr(sys, "path", installed)
    assert names() == names() >= {"anyio+trio", "memory", "twisted+select"}
    assert lookups == ["halfclose"]


def test_again_where_something_was_installed(
    lookups: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = names()
    install("one", tmp_path)
    assert names() - before == {"one"}


def test_again_on_another_path(
    lookups: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("two", tmp_path)
    assert "two" not in names()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "two" in names()
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(tmp_path)])
    assert "two" not in names()


def test_again_where_another_finder_is(lookups: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names()
    finder = SimpleNamespace(find_spec=lambda *_: None, find_distributions=lambda *_: iter(()))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    names()
    assert len(lookups) == 2
