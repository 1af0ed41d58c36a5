"""``memory:NAME`` as a value and as a string."""

from __future__ import annotations

import dataclasses

import halfclose
import pytest
from halfclose import EndpointError, Memory, parse_endpoint
from halfclose.scheme_registry import as_endpoint
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@pytest.mark.parametrize("name", ["echo", "a:b", "127.0.0.1:80", "~", "né", "x" * 1000])
def test_a_right_one_goes_round(name: str) -> None:
    endpoint = parse_endpoint(f"memory:{name}")
    assert endpoint == Memory(name)
    assert str(endpoint) == f"memory:{name}"
    assert as_endpoint(endpoint) is endpoint


@given(NAMES)
def test_any_printable_name_goes_round(name: str) -> None:
    assert parse_endpoint(str(Memory(name))) == Memory(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("memory:", "the name is missing"),
        ("memory", "no kind of endpoint"),
        ("Memory:x", "no kind of endpoint"),
        ("memory:a b", "a space"),
        ("memory: ", "a space"),
        ("memory:a\n", "cannot be printed"),
        ("memory:\u00a0", "cannot be printed"),
        ("memory:a\0", "cannot be printed"),
        ("memory:\ud800", "cannot be printed"),
    ],
    ids=repr,
)
def test_a_wrong_one_says_what_is_wrong_and_shows_a_right_one(text: str, says: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_endpoint(text)
    message = str(caught.value)
    assert repr(text) in message
    assert says in message
    right = message.rpartition("write it like ")[2]
    for example in right.replace(" or ", ", ").split(", "):
        parse_endpoint(example)
    assert "memory:echo" in right


@pytest.mark.parametrize("name", ["", " ", "a b", "\t", None, b"x", 1], ids=repr)
def test_a_name_must_be_a_name(name: object) -> None:
    with pytest.raises(EndpointError, match="memory name"):
        Memory(name)  # type: ignore[arg-type]


def test_it_is_a_value() -> None:
    assert len({Memory("a"), Memory("a"), Memory("b")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Memory("a"), dataclasses.fields(Memory)[0].name, "b")
    assert halfclose.Memory is Memory
