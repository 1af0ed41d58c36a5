"""What the release script deletes, and what it uploads: nothing that was not asked for in full."""

from __future__ import annotations

from pathlib import Path

import pytest
from release import __main__ as script


def test_only_the_whole_word_publishes() -> None:
    assert not script.arguments_of([]).publish
    assert script.arguments_of(["--publish"]).publish
    with pytest.raises(SystemExit):
        script.arguments_of(["--pub"])


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit, match="is not empty"):
        script.empty(tmp_path)
    assert (tmp_path / "mine").exists()
    assert script.empty(tmp_path / "new" / "folder").is_dir()


def test_dist_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(script, "DIST", tmp_path / "dist")
    (tmp_path / "dist" / "site").mkdir(parents=True)
    assert not list(script.empty(tmp_path / "dist").iterdir())


def test_only_packages_are_uploaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "uv", lambda: ["uv"])
    made = [Path("/d/b.whl"), Path("/d/a.tar.gz")]
    *_, upload = script.commands("1.2.3", "c0ffee", made)
    assert upload == ["uv", "publish", "/d/a.tar.gz", "/d/b.whl"]
