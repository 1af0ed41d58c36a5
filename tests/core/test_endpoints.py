"""Endpoints as values and as strings."""

from __future__ import annotations

import dataclasses
import os
import string

import halfclose
import pytest
from halfclose import TCP, UNIX, EndpointError, HalfcloseError, StandardIO, parse_endpoint
from halfclose.endpoints import Endpoint
from halfclose.scheme_registry import as_endpoint
from hypothesis import given
from hypothesis import strategies as st

RIGHT: dict[str, TCP | UNIX | StandardIO] = {
    "tcp:127.0.0.1:8000": TCP("127.0.0.1", 8000),
    "tcp:localhost:0": TCP("localhost", 0),
    "tcp:example.org:65535": TCP("example.org", 65535),
    "tcp:[::1]:80": TCP("::1", 80),
    "tcp:[fe80::1%lo]:80": TCP("fe80::1%lo", 80),
    "unix:/tmp/echo.sock": UNIX("/tmp/echo.sock"),
    "unix:relative": UNIX("relative"),
    "unix:/with:colons:80": UNIX("/with:colons:80"),
    "unix:/with space": UNIX("/with space"),
    "unix:" + "x" * 107: UNIX("x" * 107),
    "unix:" + "é" * 53: UNIX("é" * 53),
    "stdio:": StandardIO(),
}

# The string, what its error says, and what kind of right one it shows.
WRONG = [
    ("", "no kind of endpoint", "tcp:127.0.0.1:8000"),
    (":", "no kind of endpoint", "tcp:127.0.0.1:8000"),
    ("tcp", "no kind of endpoint", "tcp:127.0.0.1:8000"),
    ("TCP:host:80", "no kind of endpoint", "tcp:127.0.0.1:8000"),
    (" tcp:host:80", "no kind of endpoint", "tcp:127.0.0.1:8000"),
    ("nonsense:x", "'nonsense'", "tcp:127.0.0.1:8000"),
    ("127.0.0.1:80", "'127.0.0.1'", "tcp:127.0.0.1:8000"),
    ("/tmp/echo.sock", "no kind of endpoint", "unix:/tmp/echo.sock"),
    ("tcp:", "host and port are missing", "tcp:127.0.0.1:8000"),
    ("tcp:host", "port is missing", "tcp:127.0.0.1:8000"),
    ("tcp:8000", "host is missing (tcp:*:8000 would be every address", "tcp:127.0.0.1:8000"),
    ("tcp:host:", "port ''", "tcp:127.0.0.1:8000"),
    ("tcp::80", "host", "tcp:127.0.0.1:8000"),
    ("tcp:host:99999", "99999", "tcp:127.0.0.1:8000"),
    ("tcp:host:65536", "65536", "tcp:127.0.0.1:8000"),
    ("tcp:host:-1", "'-1'", "tcp:127.0.0.1:8000"),
    ("tcp:host:+1", "'+1'", "tcp:127.0.0.1:8000"),
    ("tcp:host: 1", "' 1'", "tcp:127.0.0.1:8000"),
    ("tcp:host:1 ", "'1 '", "tcp:127.0.0.1:8000"),
    ("tcp:host:1_0", "'1_0'", "tcp:127.0.0.1:8000"),
    ("tcp:host:0x50", "'0x50'", "tcp:127.0.0.1:8000"),
    ("tcp:host:http", "'http'", "tcp:127.0.0.1:8000"),
    ("tcp:host:8.0", "'8.0'", "tcp:127.0.0.1:8000"),
    ("tcp:host:٨٠", "not a number", "tcp:127.0.0.1:8000"),
    ("tcp:host:²", "not a number", "tcp:127.0.0.1:8000"),
    ("tcp:host:80:", "brackets", "tcp:[::1]:8000"),
    ("tcp:::1:80", "brackets", "tcp:[::1]:8000"),
    ("tcp:::1", "brackets", "tcp:[::1]:8000"),
    ("tcp:[::1]", "", "tcp:[::1]:8000"),
    ("tcp:[::1:80", "brackets", "tcp:[::1]:8000"),
    ("tcp:::1]:80", "brackets", "tcp:[::1]:8000"),
    ("tcp:[]:80", "brackets", "tcp:[::1]:8000"),
    ("tcp:[host]:80", "brackets", "tcp:[::1]:8000"),
    ("tcp:[127.0.0.1]:80", "brackets", "tcp:[::1]:8000"),
    ("tcp:[[::1]]:80", "", "tcp:[::1]:8000"),
    ("tcp: host:80", "", "tcp:127.0.0.1:8000"),
    ("tcp:host :80", "", "tcp:127.0.0.1:8000"),
    ("tcp:ho st:80", "", "tcp:127.0.0.1:8000"),
    ("tcp:ho\0st:80", "", "tcp:127.0.0.1:8000"),
    ("tcp://host:80", "", "tcp:127.0.0.1:8000"),
    ("tcp:host/:80", "", "tcp:127.0.0.1:8000"),
    ("unix:", "path is missing", "unix:/tmp/echo.sock"),
    ("unix:" + "x" * 108, "108 bytes", "unix:/tmp/echo.sock"),
    ("unix:/" + "é" * 54, "109 bytes", "unix:/tmp/echo.sock"),
    ("unix:" + "\N{GRINNING FACE}" * 27, "108 bytes", "unix:/tmp/echo.sock"),
    ("unix:/a\0b", "NUL", "unix:/tmp/echo.sock"),
    ("unix:\0abstract", "NUL", "unix:/tmp/echo.sock"),
    ("stdio", "no kind of endpoint", "stdio:"),
    ("stdio:x", "'x'", "stdio:"),
    ("stdio: ", "' '", "stdio:"),
    ("stdio::", "':'", "stdio:"),
]

LONG_PORT = "tcp:host:" + "9" * 5000
LONE_SURROGATE = "unix:/tmp/\ud800"


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_one_parses_and_gives_itself_back(text: str) -> None:
    endpoint = parse_endpoint(text)
    assert endpoint == RIGHT[text]
    assert type(endpoint) is type(RIGHT[text])
    assert str(endpoint) == text
    assert as_endpoint(text) == endpoint
    assert as_endpoint(endpoint) is endpoint


@pytest.mark.parametrize(("text", "says", "shows"), WRONG, ids=repr)
@pytest.mark.parametrize("parse", [parse_endpoint, as_endpoint])
def test_a_wrong_one_says_what_is_wrong(parse: object, text: str, says: str, shows: str) -> None:
    assert callable(parse)
    with pytest.raises(EndpointError) as caught:
        parse(text)
    message = str(caught.value)
    assert repr(text) in message
    rest = message.replace(repr(text), "")
    assert says in rest
    what, like, right = rest.partition("write it like ")
    assert like
    assert shows in right
    assert what.strip(" ;:") != "endpoint"
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, HalfcloseError)


def test_the_examples_in_the_errors_are_right() -> None:
    for text, _, _ in WRONG:
        with pytest.raises(EndpointError) as caught:
            parse_endpoint(text)
        right = str(caught.value).rpartition("write it like ")[2]
        for example in right.replace(" or ", ", ").split(", "):
            parse_endpoint(example)


def test_a_port_of_thousands_of_digits_is_an_endpoint_error() -> None:
    """int() refuses so many digits with a ValueError of its own."""
    with pytest.raises(EndpointError, match="port"):
        parse_endpoint(LONG_PORT)


def test_a_path_that_no_file_can_have_is_an_endpoint_error() -> None:
    with pytest.raises(EndpointError, match="path"):
        parse_endpoint(LONE_SURROGATE)


@pytest.mark.parametrize("value", [None, 80, b"tcp:host:80", ("host", 80), {}], ids=repr)
def test_what_is_no_endpoint_at_all(value: object) -> None:
    with pytest.raises(EndpointError, match="write it like"):
        as_endpoint(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("port", [-1, 65536, 10**30, 80.0, "80", None, True])
def test_tcp_port_must_be_a_port(port: object) -> None:
    with pytest.raises(EndpointError, match="port"):
        TCP("host", port)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "[::1]", "a/b", "a\0", " a", "a\n", None, b"a", 1], ids=repr
)
def test_tcp_host_must_be_a_host(host: object) -> None:
    with pytest.raises(EndpointError, match="host"):
        TCP(host, 80)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [b"/tmp/x", None, 5])
def test_unix_path_must_be_a_string(path: object) -> None:
    with pytest.raises(EndpointError, match="path"):
        UNIX(path)  # type: ignore[arg-type]


def test_a_path_of_undecodable_bytes_goes_round() -> None:
    path = os.fsdecode(b"/tmp/\xff\xfe")
    assert parse_endpoint(str(UNIX(path))) == UNIX(path)


def test_endpoints_are_values() -> None:
    assert len({TCP("a", 1), TCP("a", 1), UNIX("a"), StandardIO(), StandardIO()}) == 3
    values: list[object] = [TCP("a", 1), UNIX("a")]
    assert values[0] != values[1]
    for endpoint in RIGHT.values():
        field = dataclasses.fields(endpoint)
        if field:
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(endpoint, field[0].name, "other")


def test_the_public_names() -> None:
    assert halfclose.parse_endpoint is parse_endpoint
    assert halfclose.as_endpoint is as_endpoint
    assert Endpoint is halfclose.Endpoint


HOSTS = st.text(string.ascii_letters + string.digits + "-.", min_size=1)
ADDRESSES = st.ip_addresses().map(str)
PATHS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=107
).filter(lambda path: len(path.encode()) <= 107)


@given(st.one_of(HOSTS, ADDRESSES), st.integers(0, 65535))
def test_tcp_goes_round(host: str, port: int) -> None:
    endpoint = TCP(host, port)
    assert parse_endpoint(str(endpoint)) == endpoint


@given(PATHS)
def test_unix_goes_round(path: str) -> None:
    assert parse_endpoint(str(UNIX(path))) == UNIX(path)


@given(st.one_of(st.text(), st.text().map("tcp:".__add__), st.text().map("unix:".__add__)))
def test_any_string_is_an_endpoint_that_goes_round_or_an_endpoint_error(text: str) -> None:
    try:
        endpoint = parse_endpoint(text)
    except EndpointError as error:
        assert repr(text) in str(error)  # noqa: PT017
    else:
        assert parse_endpoint(str(endpoint)) == endpoint


@given(st.text(string.digits + ":[]h.%-", max_size=20))
def test_nearly_right_tcp_strings(rest: str) -> None:
    try:
        endpoint = parse_endpoint("tcp:" + rest)
    except EndpointError:
        return
    assert isinstance(endpoint, TCP)
    assert endpoint.host
    assert parse_endpoint(str(endpoint)) == endpoint
