"""What the documents promise about the code is checked against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from halfclose.testing import ContractSuite

ROOT = Path(__file__).parents[2]


def contract() -> dict[str, str]:
    """The rules of docs/contract.md, by id, each as one line."""
    text = (ROOT / "docs" / "contract.md").read_text()
    found = re.findall(r"^- ([A-Z]{3,4}-\d\d) (.+?)(?=^- |^#|\Z)", text, re.MULTILINE | re.DOTALL)
    return {identifier: " ".join(rule.split()) for identifier, rule in found}


def suite_rules() -> dict[str, str]:
    """The suite's rules, by id, each with its test's docstring as one line."""
    rules = ContractSuite.rules()
    return {identifier: " ".join(rule.text.split()) for identifier, rule in rules.items()}


def test_every_rule_has_its_test_and_no_other() -> None:
    assert sorted(suite_rules()) == sorted(contract())


@pytest.mark.parametrize("identifier", sorted(contract()))
def test_docstring_quotes_the_rule_and_says_where_to_look(identifier: str) -> None:
    docstring = suite_rules()[identifier]
    assert docstring.startswith(contract()[identifier])
    assert "Where to look:" in docstring


def test_readme_example_runs() -> None:
    text = (ROOT / "README.md").read_text()
    match = re.search(r"<!-- example: sum -->\n```python\n(.+?)```", text, re.DOTALL)
    assert match is not None
    example: dict[str, object] = {}
    exec(compile(match[1], "README.md", "exec"), example)
    protocol = example["Sum"]

    import hashlib
    import socket

    import halfclose
    from halfclose.testing import SocketPeer

    async def main(backend: halfclose.Backend) -> bytes:
        listener = await backend.listen("tcp:127.0.0.1:0", protocol)  # type: ignore[arg-type]
        assert isinstance(listener.endpoint, halfclose.TCP)
        sock = socket.create_connection((listener.endpoint.host, listener.endpoint.port))
        with SocketPeer(backend, sock) as peer:
            await peer.send(b"hello" * 1000)
            peer.shutdown()
            return await peer.read_to_eof()

    assert halfclose.run(main).decode() == hashlib.sha256(b"hello" * 1000).hexdigest() + "\n"
