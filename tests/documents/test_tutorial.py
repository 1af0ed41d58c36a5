"""The pages of docs/tutorial, done step by step as a reader does them."""

from __future__ import annotations

from documents.blocks import ROOT, example
from documents.sessions import Folder

CLIENT = "docs/tutorial/server-and-client.md"
MEMORY = "docs/tutorial/testing-in-memory.md"

STOPPED = "closing; a second signal aborts\n"
"""What the command prints on ``^C``."""

ANSWERS_ANYTHING = """
    def connectionLost(self, reason: BaseException) -> None:
        print("sorted", len(self.lines), "lines")
"""
"""A mistake for the server: whatever ends, it counts as a whole text."""


def test_the_command_that_installs_is_that_of_the_readme() -> None:
    installing = example(CLIENT, "README.md", "from")
    assert installing in (ROOT / "README.md").read_text()


def test_each_half_ends(folder: Folder) -> None:
    folder.save("sorting.py", example(CLIENT, "events"))
    with folder.serving(CLIENT, "serve-events") as server:
        folder.play(CLIENT, "send-events")
        server.has_printed(example(CLIENT, "events-seen", "session"))
        assert server.stop() == STOPPED


def test_a_server_and_a_client(folder: Folder) -> None:
    folder.save("sorting.py", example(CLIENT, "server"))
    folder.save("ask.py", example(CLIENT, "client"))
    with folder.serving(CLIENT, "serve") as server:
        folder.play(CLIENT, "send")
        server.has_printed(example(CLIENT, "seen", "session"))
        folder.play(CLIENT, "ask")
        assert server.stop() == example(CLIENT, "seen", "session") + STOPPED


def test_another_event_loop_and_no_half_close(folder: Folder) -> None:
    folder.save("sorting.py", example(CLIENT, "server"))
    folder.save("ask.py", example(CLIENT, "client"))
    with folder.serving(CLIENT, "serve-trio") as server:
        folder.play(CLIENT, "ask-others")
        server.has_printed(example(CLIENT, "seen", "session") * 2)
        folder.play(CLIENT, "hasty")
        server.has_printed(example(CLIENT, "seen", "session"))
        assert server.stop() == STOPPED
    with folder.serving(CLIENT, "serve-deaf") as server:
        folder.play(CLIENT, "ask-deaf")
        assert server.stop() == STOPPED


def test_a_bug_is_planted_and_found(folder: Folder) -> None:
    tests = [example(MEMORY, "first-test")]

    def add(name: str) -> None:
        tests.append(example(MEMORY, name))
        folder.save("test_sorting.py", "\n\n".join(tests))

    folder.save("sorting.py", example(MEMORY, "server"))
    folder.save("test_sorting.py", tests[0])
    folder.play(MEMORY, "first-test")
    folder.save("sorting.py", example(MEMORY, "planted"))
    folder.play(MEMORY, "planted-passes")
    # The page says that it works by hand.
    with folder.serving(CLIENT, "serve"):
        folder.play(CLIENT, "send")
    add("any-cut")
    folder.play(MEMORY, "found", status=1)
    folder.save("sorting.py", example(MEMORY, "repaired"))
    folder.play(MEMORY, "repaired")
    add("stalled")
    add("broken")
    folder.play(MEMORY, "all")


def test_the_last_two_tests_find_a_bug_too(folder: Folder) -> None:
    tests = (example(MEMORY, name) for name in ("first-test", "stalled", "broken"))
    folder.save("test_sorting.py", "\n\n".join(tests))
    aborting = example(MEMORY, "repaired").replace("loseWriteConnection", "abortConnection")
    folder.save("sorting.py", aborting + ANSWERS_ANYTHING)
    result = folder.output("pytest -q")
    assert "FAILED test_sorting.py::test_a_stalled_reader_gets_the_whole_answer" in result
    assert "FAILED test_sorting.py::test_a_text_that_breaks_off_is_not_sorted" in result


def test_both_pages_have_the_same_server() -> None:
    assert example(MEMORY, "server") == example(CLIENT, "server")
