"""The pages of docs/tutorial, done step by step as a reader does them."""

from __future__ import annotations

import functools
from pathlib import Path

from documents.blocks import ROOT, example
from documents.shell import Folder

CLIENT = functools.partial(example, "docs/tutorial/server-and-client.md")
MEMORY = functools.partial(example, "docs/tutorial/testing-in-memory.md")

STOPPED = "closing; a second signal aborts\n"
"""What the command prints on ``^C``."""

ANSWERS_ANYTHING = """
    def connectionLost(self, reason: BaseException) -> None:
        print("sorted", len(self.lines), "lines")
"""
"""A mistake for the server: whatever ends, it counts as a whole text."""


def test_the_command_that_installs_is_that_of_the_readme() -> None:
    installing = CLIENT("README.md", "from")
    assert installing in (ROOT / "README.md").read_text()


def test_each_half_ends(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save("sorting.py", CLIENT("events"))
    with folder.serving(CLIENT("serve-events", "session")) as server:
        folder.run(CLIENT("send-events", "session"))
        server.has_printed(CLIENT("events-seen", "session"))
        assert server.stop() == STOPPED


def test_a_server_and_a_client(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save("sorting.py", CLIENT("server"))
    folder.save("ask.py", CLIENT("client"))
    with folder.serving(CLIENT("serve", "session"), "ask.py") as server:
        folder.run(CLIENT("send", "session"))
        server.has_printed(CLIENT("seen", "session"))
        folder.run(CLIENT("ask", "session"))
        assert server.stop() == CLIENT("seen", "session") + STOPPED


def test_another_event_loop_and_no_half_close(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save("sorting.py", CLIENT("server"))
    folder.save("ask.py", CLIENT("client"))
    with folder.serving(CLIENT("serve-trio", "session"), "ask.py") as server:
        folder.run(CLIENT("ask-others", "session"))
        server.has_printed(CLIENT("seen", "session") * 2)
        folder.run(CLIENT("hasty", "session"))
        server.has_printed(CLIENT("seen", "session"))
        assert server.stop() == STOPPED
    with folder.serving(CLIENT("serve-deaf", "session"), "ask.py") as server:
        folder.run(CLIENT("ask-deaf", "session"))
        assert server.stop() == STOPPED


def test_a_bug_is_planted_and_found(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    tests = [MEMORY("first-test")]

    def add(name: str) -> None:
        tests.append(MEMORY(name))
        folder.save("test_sorting.py", "\n\n".join(tests))

    folder.save("sorting.py", MEMORY("server"))
    folder.save("test_sorting.py", tests[0])
    folder.run(MEMORY("first-test", "session"))
    folder.save("sorting.py", MEMORY("planted"))
    folder.run(MEMORY("planted-passes", "session"))
    # The page says that it works by hand.
    with folder.serving(CLIENT("serve", "session")):
        folder.run(CLIENT("send", "session"))
    add("any-cut")
    folder.run(MEMORY("found", "session"))
    folder.save("sorting.py", MEMORY("repaired"))
    folder.run(MEMORY("repaired", "session"))
    add("stalled")
    add("broken")
    folder.run(MEMORY("all", "session"))


def test_the_last_two_tests_find_a_bug_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save("test_sorting.py", "\n\n".join(map(MEMORY, ("first-test", "stalled", "broken"))))
    aborting = MEMORY("repaired").replace("loseWriteConnection", "abortConnection")
    folder.save("sorting.py", aborting + ANSWERS_ANYTHING)
    result = folder.output("pytest -q")
    assert "FAILED test_sorting.py::test_a_stalled_reader_gets_the_whole_answer" in result
    assert "FAILED test_sorting.py::test_a_text_that_breaks_off_is_not_sorted" in result


def test_both_pages_have_the_same_server() -> None:
    assert MEMORY("server") == CLIENT("server")
