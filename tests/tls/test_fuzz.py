"""Records that are spoilt on their way: no byte is delivered that was not sent, no end is clean."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from halfclose import ConnectionDone
from hypothesis import given, settings
from hypothesis import strategies as st
from tls.conversations import check, conversation, record, records
from tls.support import ALL, ANSWER, GREETING, MANNERS, SIDES, VERSIONS, Manner, Side

# A few dozen in the quick tier, thousands in the thorough one.
many = settings(max_examples=settings().max_examples ** 2 // 4)

sides = st.sampled_from(SIDES)
versions = st.sampled_from(VERSIONS)
manners = st.sampled_from(MANNERS)


class Flipping:
    """Flips bits of one byte of all that the peer sends."""

    def __init__(self, place: int, mask: int) -> None:
        self._left = place
        self._mask = mask

    def __call__(self, data: bytes) -> bytes:
        place, self._left = self._left, self._left - len(data)
        if not 0 <= place < len(data):
            return data
        return data[:place] + bytes([data[place] ^ self._mask]) + data[place + 1 :]


@many
@given(
    side=sides,
    version=versions,
    place=st.integers(0, 2200),
    mask=st.integers(1, 255),
    manner=manners,
)
def test_a_byte_is_flipped(
    side: Side, version: ssl.TLSVersion, place: int, mask: int, manner: Manner
) -> None:
    check(conversation(side, version, Flipping(place, mask), manner=manner))


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_each_byte_is_flipped(side: Side, version: ssl.TLSVersion) -> None:
    sizes: list[int] = []

    def count(data: bytes) -> bytes:
        sizes.append(len(data))
        return data

    conversation(side, version, count)
    for place in range(sum(sizes)):
        check(conversation(side, version, Flipping(place, 1 << place % 8)))


# -- scripts ---------------------------------------------------------------------------------------

Spoil = Callable[[bytes], bytes]

bodies = st.one_of(st.binary(max_size=40), st.sampled_from([b"\x01\x00", b"\x02\x28", b"\x01"]))

spoils: st.SearchStrategy[tuple[str, Spoil]] = st.one_of(
    st.just(("lost", lambda each: b"")),
    st.just(("twice", lambda each: each + each)),
    st.tuples(st.just("without its end"), st.integers(1, 40)).map(
        lambda drawn: (drawn[0], lambda each: each[: -drawn[1]])
    ),
    st.tuples(st.just("of another type"), st.integers(0, 255)).map(
        lambda drawn: (drawn[0], lambda each: bytes([drawn[1]]) + each[1:])
    ),
    st.tuples(st.just("of another version"), st.binary(min_size=2, max_size=2)).map(
        lambda drawn: (drawn[0], lambda each: each[:1] + drawn[1] + each[3:])
    ),
    st.tuples(st.just("of another length"), st.binary(min_size=2, max_size=2)).map(
        lambda drawn: (drawn[0], lambda each: each[:3] + drawn[1] + each[5:])
    ),
    st.tuples(st.just("after a plain one"), st.integers(19, 25), bodies).map(
        lambda drawn: (drawn[0], lambda each: record(drawn[1], drawn[2]) + each)
    ),
    st.tuples(st.just("before a plain one"), st.integers(19, 25), bodies).map(
        lambda drawn: (drawn[0], lambda each: each + record(drawn[1], drawn[2]))
    ),
    st.tuples(st.just("after garbage"), st.binary(min_size=1, max_size=40)).map(
        lambda drawn: (drawn[0], lambda each: drawn[1] + each)
    ),
)
"""What becomes of a record, and its name."""


@dataclass
class Script:
    """Spoils some records, and has others overtaken by the next.

    :param spoilt: what becomes of a record, by its number.
    :param overtaken: the numbers of records that the next one overtakes.
    """

    spoilt: dict[int, tuple[str, Spoil]]
    overtaken: frozenset[int]

    def spoil(self) -> Spoil:
        passed = 0
        late = b""

        def spoil(data: bytes) -> bytes:
            nonlocal passed, late
            sent = b""
            for each in records(data):
                _, change = self.spoilt.get(passed, ("", bytes))
                if passed in self.overtaken and not late:
                    late = change(each)
                else:
                    sent += change(each) + late
                    late = b""
                passed += 1
            return sent

        return spoil

    def __repr__(self) -> str:
        spoilt = {number: name for number, (name, _) in self.spoilt.items()}
        return f"Script({spoilt}, {set(self.overtaken)})"


numbers = st.integers(0, 12)
scripts = st.builds(
    Script,
    st.dictionaries(numbers, spoils, max_size=2),
    st.frozensets(numbers, max_size=1),
)


@many
@given(
    side=sides,
    version=versions,
    script=scripts,
    seed=st.integers(0, 1 << 16),
    manner=manners,
)
def test_records_are_spoilt(
    side: Side, version: ssl.TLSVersion, script: Script, seed: int, manner: Manner
) -> None:
    check(conversation(side, version, script.spoil(), seed=seed, manner=manner))


@many
@given(side=sides, version=versions, seed=st.integers(0, 1 << 16), manner=manners)
def test_pieces_of_any_size_change_nothing(
    side: Side, version: ssl.TLSVersion, seed: int, manner: Manner
) -> None:
    story = conversation(side, version, seed=seed, manner=manner)
    check(story)
    assert type(story.protocol.reason) is ConnectionDone
    if manner.startswith("closes"):
        assert story.read == GREETING
        return
    assert story.ended
    assert story.protocol.data == ALL
    assert story.read == (GREETING if manner == "ends first" else GREETING + ANSWER)
