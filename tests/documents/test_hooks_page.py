"""The plugins of docs/how-to/hooks.md, registered and installed."""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import halfclose
import pytest
from cli.support import LIMIT, halfclose_, start
from core.support import run
from documents.blocks import ROOT, blocks, example
from documents.programs import SOME, module, program
from documents.sessions import steps
from halfclose import Backend
from halfclose.examples import Ask, Upper
from halfclose.testing import network
from installing import install

PAGE = "docs/how-to/hooks.md"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = module(PAGE, "connection_log")
    monkeypatch.setitem(sys.modules, "connection_log", made)
    module(PAGE, "register")
    yield made
    halfclose.unregister(made)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(r.getMessage()) for r in caplog.records if r.name == "connections"]


@pytest.mark.parametrize("variant", SOME)
def test_a_line_for_each_connection(
    plugin: Any, caplog: pytest.LogCaptureFixture, variant: str
) -> None:
    class Counting(module(PAGE, "counted").Counted, Upper):  # type: ignore[misc]
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(data.upper())

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", Counting) as listener:
            client = await backend.connect(listener.endpoint, Ask)
            await client.transport.whenClosed()

    with caplog.at_level(logging.INFO):
        run(main, variant=variant)
    told = {line["protocol"]: line for line in lines(caplog)}
    assert told["Counting"]["halves"] == ["read"]
    assert told["Counting"]["received"] == len(b"hello, world")
    assert sorted(told["Ask"]["halves"]) == ["read", "write"]
    for line in told.values():
        assert (line["reason"], line["dropped"]) == ("ConnectionDone", 0)
    assert not plugin._open


def test_an_end_that_is_not_clean_is_a_warning(
    plugin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(backend: Backend) -> None:
        async with network() as net:
            await net.backend.listen("memory:upper", Upper)
            with await net.raw("upper") as peer:
                await net.advance(2.5)
                peer.reset()
                await net.advance(0)

    halfclose.run(main, backend="memory")
    [line] = lines(caplog)
    assert (line["reason"], line["halves"], line["seconds"]) == ("ConnectionLost", [], 2.5)
    assert [r.levelname for r in caplog.records if r.name == "connections"] == ["WARNING"]


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """An environment in which the plugin is installed."""
    [project] = [b.text for b in blocks(ROOT / PAGE) if b.language == "toml"]
    entries = tomllib.loads(project)["project"]["entry-points"]["halfclose.plugins"]
    [(name, module_name)] = entries.items()
    (tmp_path / f"{module_name}.py").write_text(example(PAGE, "connection_log"))
    return install(tmp_path, name, module_name)


def test_installed_it_is_in_every_program(site: dict[str, str]) -> None:
    commands, shown = zip(*steps(PAGE, "log"), strict=True)
    assert commands == (
        "halfclose run halfclose.examples:Upper tcp:127.0.0.1:8000 2> server.log &",
        "echo hello | halfclose connect tcp:127.0.0.1:8000",
        "grep peer server.log",
    )
    _, [answer], [logged] = shown
    with start("run", "halfclose.examples:Upper", "tcp:127.0.0.1:0", env=site) as server:
        endpoint = server.endpoint()
        assert halfclose_("connect", endpoint, data=b"hello\n").out.decode() == answer + "\n"
        told = '{"peer"' + server.wait_for('{"peer"')
    told = told.replace(endpoint, "tcp:127.0.0.1:8000")
    assert _without_numbers(told) == _without_numbers(logged)


def _without_numbers(line: str) -> str:
    line = re.sub(r'("peer": "tcp:127\.0\.0\.1:)\d+', r"\1", line)
    return re.sub(r'("seconds": )[\d.]+', r"\1", line)


def test_numbers() -> None:
    commands, shown = zip(*steps(PAGE, "metrics"), strict=True)
    assert commands == (
        "python metrics.py tcp:127.0.0.1:8000 tcp:127.0.0.1:9100 &",
        "echo hello | halfclose connect tcp:127.0.0.1:8000",
        "curl -s http://127.0.0.1:9100/metrics",
    )
    for variant in SOME:
        env = {"HALFCLOSE_BACKEND": variant}
        with program(PAGE, "metrics", "tcp:127.0.0.1:0", "tcp:127.0.0.1:0", env=env) as running:
            found = re.fullmatch(r"listening on (\S+) and tcp:(\S+)", running.line())
            assert found is not None
            assert halfclose_("connect", found[1], data=b"hello\n").out == b"HELLO\n"
            with urllib.request.urlopen(f"http://{found[2]}/metrics", timeout=LIMIT) as answer:
                assert answer.read().decode().splitlines() == shown[2]
            running.send(signal.SIGINT)
            assert running.end() == (0, b"", "")


def test_the_states_are_counted() -> None:
    metrics = module(PAGE, "metrics").Metrics()
    halfclose.register(metrics)
    try:

        async def main(backend: Backend) -> None:
            async with network() as net:
                with net.raw_listen("server") as server:
                    await net.backend.connect("memory:server", Ask)
                    with await server.accept() as peer:
                        await net.advance(0)
                        assert 'halfclose_connections{state="write-closed"} 1' in metrics.text()
                        peer.reset()
                        await net.advance(0)
                assert 'halfclose_connections_lost_total{reason="ConnectionLost"} 1' in (
                    metrics.text()
                )

        halfclose.run(main, backend="memory")
    finally:
        halfclose.unregister(metrics)


def test_the_loggers_of_the_page() -> None:
    root, ours = logging.getLogger(), logging.getLogger("halfclose.examples")
    handlers, level = list(root.handlers), root.level
    try:
        module(PAGE, "logging")
        assert ours.level == logging.WARNING
    finally:
        ours.setLevel(logging.NOTSET)
        root.handlers[:], root.level = handlers, level


def test_each_level_is_used_as_the_page_says() -> None:
    """No other logger, and nothing at INFO but what the examples log."""
    names, levels = set(), set()
    for path in (*ROOT.glob("core/src/**/*.py"), *ROOT.glob("backends/*/src/**/*.py")):
        if not {"testing", "cli"} & set(path.parts) and path.name != "examples.py":
            text = path.read_text()
            names |= set(re.findall(r"^_log = logging\.getLogger\((.+)\)", text, re.MULTILINE))
            levels |= set(re.findall(r"\b_log\.(\w+)\(", text))
    assert names == {'"halfclose"'}
    assert levels - {"hasHandlers"} == {"critical", "error", "exception", "warning", "log"}
