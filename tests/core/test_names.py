"""What peers, resolvers and interfaces call themselves: in logs, in messages, and back again."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from core.support import VARIANTS, EchoBack, Recorder, run, until
from halfclose import (
    TCP,
    UNIX,
    Backend,
    ConnectError,
    EndpointError,
    Protocol,
    parse_endpoint,
)
from halfclose.cli.report import say
from halfclose.io.addresses import describe, distinct, endpoint_of, literal, unix_address
from halfclose.text import one_line, printable

SOCKETS = ("poller", "native")

FORGED = b"x\nERROR forged line\x1b[31m\r\xff\xfe\xe2\x80\xae"
"""A name that would forge a line, colour it, turn it around, and is no UTF-8."""


# -- as strings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"/tmp/a\nb", r"unix:/tmp/a\x0ab"),
        (b"/tmp/\x1b[31m", r"unix:/tmp/\x1b[31m"),
        (b"/tmp/\xff\xfe", r"unix:/tmp/\xff\xfe"),
        ("/tmp/\u2028\u202e".encode(), r"unix:/tmp/\xe2\x80\xa8\xe2\x80\xae"),
        ("/tmp/é ü".encode(), "unix:/tmp/é ü"),
        (b"/tmp/back\\slash", r"unix:/tmp/back\slash"),
        (rb"/tmp/\x41", r"unix:/tmp/\x5cx41"),
        (rb"/tmp/\xyz", r"unix:/tmp/\xyz"),
        (b"/tmp/\\\n", r"unix:/tmp/\\x0a"),
        (b"\0name", "unix:@name"),
        (b"\0", "unix:@"),
        (b"\0a\0b\xff", r"unix:@a\x00b\xff"),
        (b"@name", "unix:./@name"),
    ],
    ids=repr,
)
def test_a_name_is_printable_and_comes_back(name: bytes, text: str) -> None:
    endpoint = endpoint_of(socket.AF_UNIX, name)
    assert isinstance(endpoint, UNIX)
    assert str(endpoint) == text
    assert text.isprintable()
    assert parse_endpoint(text) == endpoint
    expected = b"./@name" if name == b"@name" else name
    assert os.fsencode(unix_address(endpoint)) == expected


@pytest.mark.parametrize("host", ["a\nb", "a\x1b[1m", "a\x7f", "a\u2028b", "a\udcffb"], ids=repr)
def test_a_host_prints(host: str) -> None:
    with pytest.raises(EndpointError, match="not a host name") as caught:
        TCP(host, 80)
    assert str(caught.value).isprintable()


def test_the_longest_abstract_name() -> None:
    assert UNIX("@" + "x" * 107).is_abstract
    with pytest.raises(EndpointError, match="108 bytes"):
        UNIX("@" + "x" * 108)
    with pytest.raises(EndpointError, match="an abstract name begins with @"):
        UNIX("\0name")


def test_what_a_resolver_says_is_printable() -> None:
    assert describe((socket.AF_INET, ("a\n\x1b[1m", 80))).isprintable()
    assert describe((socket.AF_INET, 5)).isprintable()
    assert describe((socket.AF_INET6, (1, 2))).isprintable()


def test_what_the_command_says_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    say("halfclose: " + one_line("one\x1b[31m\ntwo\udcff"))
    assert capsys.readouterr().err == "halfclose: one\\x1b[31m two\\udcff\n"
    assert printable("é 5") == "é 5"


# -- scopes and families -----------------------------------------------------------------------


def test_a_zone_is_kept() -> None:
    zone = socket.if_indextoname(1)
    endpoint = endpoint_of(socket.AF_INET6, ("fe80::1", 80, 0, 1))
    assert str(endpoint) == f"tcp:[fe80::1%{zone}]:80"
    assert parse_endpoint(str(endpoint)) == endpoint
    assert isinstance(endpoint, TCP)
    assert literal(endpoint.host, 80) == (socket.AF_INET6, ("fe80::1", 80, 0, 1))
    # One that is not there any more, and one that is told twice.
    assert endpoint_of(socket.AF_INET6, ("fe80::1", 80, 0, 99999)) == TCP("fe80::1%99999", 80)
    assert endpoint_of(socket.AF_INET6, ("fe80::1%5", 80, 0, 5)) == TCP("fe80::1%5", 80)


def test_an_interface_with_a_name_that_does_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_indextoname", lambda index: "e\x1b[1m")
    assert endpoint_of(socket.AF_INET6, ("fe80::1", 80, 0, 7)) == TCP("fe80::1%7", 80)


def test_ipv4_over_ipv6_is_ipv4() -> None:
    assert endpoint_of(socket.AF_INET6, ("::ffff:127.0.0.1", 80, 0, 0)) == TCP("127.0.0.1", 80)
    assert endpoint_of(socket.AF_INET6, ("::ffff:0:1", 80, 0, 0)) == TCP("::ffff:0:1", 80)


def test_the_same_address_twice_is_one() -> None:
    one: list[tuple[int, Any]] = [
        (socket.AF_INET, ("127.0.0.1", 1)),
        (socket.AF_INET6, ("::1", 1, 0, 0)),
        (socket.AF_INET, ("127.0.0.1", 1)),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 1, 0, 0)),
        (socket.AF_INET6, ("::1", 1, 0, 1)),
    ]
    assert distinct(one) == [one[0], one[1], one[4]]


def link_local() -> str | None:
    """A link-local address of this machine with its zone."""
    try:
        with open("/proc/net/if_inet6") as file:
            for line in file:
                address, _, _, scope, _, name = line.split()
                if scope == "20":
                    pairs = [address[at : at + 4] for at in range(0, 32, 4)]
                    return (
                        socket.inet_ntop(socket.AF_INET6, bytes.fromhex("".join(pairs)))
                        + f"%{name}"
                    )
    except OSError:
        pass
    return None


@pytest.mark.skipif(link_local() is None, reason="no interface has a link-local address")
@pytest.mark.parametrize("sockets", SOCKETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_listening_and_connecting_keep_the_zone(variant: str, sockets: str) -> None:
    host = link_local()
    assert host is not None
    served: list[Recorder] = []

    def factory() -> Recorder:
        served.append(Recorder())
        return served[-1]

    async def main(backend: Backend) -> None:
        async with await backend.listen(TCP(host, 0), factory) as listener:
            assert str(listener.endpoint).startswith(f"tcp:[{host}]:")
            client = await backend.connect(str(listener.endpoint), Recorder)
            assert client.transport.getPeer() == listener.endpoint
            own = client.transport.getHost()
            assert isinstance(own, TCP)
            assert own.host == host
            await until(backend, lambda: served)
            assert served[0].transport.getHost() == listener.endpoint
            assert served[0].transport.getPeer() == client.transport.getHost()
            client.transport.abortConnection()
            await served[0].transport.whenClosed()
        with pytest.raises(ConnectError, match=rf"tcp:\[{host}\]:\d+: \[Errno \d+\]"):
            await backend.connect(listener.endpoint, Recorder)

    run(main, variant=variant, options={"sockets": sockets})


# -- abstract names ----------------------------------------------------------------------------


@pytest.mark.parametrize("sockets", SOCKETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_abstract_name(variant: str, sockets: str, tmp_path: Path) -> None:
    name = f"@halfclose {os.getpid()} {variant} {sockets} \n"

    async def main(backend: Backend) -> None:
        os.chdir(tmp_path)
        endpoint = UNIX(name)
        async with await backend.listen(str(endpoint), EchoBack) as listener:
            assert listener.endpoint == endpoint
            client = await backend.connect(endpoint, Recorder)
            assert client.transport.getPeer() == endpoint
            client.transport.write(b"x")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            assert client.data == b"x"
            with pytest.raises(Exception, match="cannot listen on unix:@halfclose"):
                await backend.listen(endpoint, EchoBack)
            # A raw peer with an abstract name that is no text.
            made: list[Recorder] = []

            def factory() -> Recorder:
                made.append(Recorder())
                return made[-1]

            other = UNIX(name + "2")
            async with await backend.listen(other, factory):
                with socket.socket(socket.AF_UNIX) as raw:
                    own = b"\0\xff\0\n" + name.encode()
                    raw.bind(own)
                    raw.connect(unix_address(other))
                    await until(backend, lambda: made)
                    assert made[0].transport.getHost() == other
                    peer = made[0].transport.getPeer()
                    assert isinstance(peer, UNIX)
                    assert unix_address(peer) == own
                    assert str(peer).startswith(r"unix:@\xff\x00\x0a")
                made[0].transport.abortConnection()
                await made[0].transport.whenClosed()
        assert list(tmp_path.iterdir()) == []
        # A file that is called so.
        async with await backend.listen("unix:./@file", EchoBack) as listener:
            assert [path.name for path in tmp_path.iterdir()] == ["@file"]
            client = await backend.connect(listener.endpoint, Recorder)
            assert client.transport.getPeer() == UNIX("./@file")
            client.transport.abortConnection()
        assert list(tmp_path.iterdir()) == []

    before = os.getcwd()
    try:
        run(main, variant=variant, options={"sockets": sockets})
    finally:
        os.chdir(before)


# -- in the log --------------------------------------------------------------------------------


class Raises(Protocol):
    """Fails at its first bytes, and has written to a lost connection before."""

    def logPrefix(self) -> str:
        return "prefix\nforged\x1b[31m\udcff"

    def dataReceived(self, data: bytes) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("sockets", SOCKETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_peers_name_forges_no_line(
    variant: str, sockets: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Raises] = []

    def factory() -> Raises:
        made.append(Raises())
        return made[-1]

    async def main(backend: Backend) -> None:
        async with await backend.listen(f"unix:{tmp_path}/s", factory):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.bind(os.fsencode(tmp_path) + b"/" + FORGED)
                raw.connect(f"{tmp_path}/s")
                raw.send(b"x")
                await until(backend, lambda: made)
                transport = made[0].transport
                shown = repr(transport)
                await transport.whenClosed()
                transport.write(b"x")
            for text in (shown, repr(transport), str(transport.getPeer())):
                assert text.isprintable()
                assert r"x\x0aERROR forged line\x1b[31m\x0d\xff\xfe\xe2\x80\xae" in text

    run(main, variant=variant, options={"sockets": sockets})
    records = [each for each in caplog.records if each.name == "halfclose"]
    assert [each.levelno for each in records] == [logging.ERROR, logging.WARNING]
    for record in records:
        message = record.getMessage()
        assert message.isprintable()
        message.encode()
        assert r"\x0aERROR forged line" in message
        assert r"prefix\nforged\x1b[31m" in message


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_resolvers_words_are_escaped(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(backend: Backend) -> None:
        async def resolve(host: str, port: int) -> list[tuple[int, Any]]:
            raise OSError("no\nERROR forged\x1b[31m\udcff")

        monkeypatch.setattr(backend, "resolve", resolve)
        for begin in (backend.connect, backend.listen):
            with pytest.raises(Exception, match="cannot") as caught:
                await begin("tcp:some.example:80", Recorder)
            assert str(caught.value).isprintable()

    run(main, variant=variant)
