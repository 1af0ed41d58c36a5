"""The table of states and moves, written down a second time and compared move by move."""

from __future__ import annotations

import pytest
from halfclose.lifecycle import (
    ACCEPTING,
    ENDED,
    READING,
    TABLE,
    IllegalMove,
    Lifecycle,
    Move,
    State,
)
from hypothesis import given
from hypothesis import strategies as st

# state: {move: next state}, by value, as the contract has it.
EXPECTED = {
    "connecting": {"made": "open", "finish": "ended"},
    "open": {
        "read ended": "read-closed",
        "end write": "write-closing",
        "write ended": "write-closed",
        "close": "closing",
        "finish": "ended",
    },
    "write-closing": {
        "read ended": "read-closed-write-closing",
        "write ended": "write-closed",
        "close": "closing",
        "finish": "ended",
    },
    "write-closed": {"read ended": "ended", "close": "closing", "finish": "ended"},
    "read-closed": {
        "end write": "read-closed-write-closing",
        "write ended": "ended",
        "close": "closing",
        "finish": "ended",
    },
    "read-closed-write-closing": {"write ended": "ended", "close": "closing", "finish": "ended"},
    "closing": {"finish": "ended"},
    "ended": {"lost": "closed"},
    "closed": {},
}

PAIRS = [(state, move) for state in State for move in Move]
LEGAL = [pair for pair in PAIRS if pair[1].value in EXPECTED[pair[0].value]]
ILLEGAL = [pair for pair in PAIRS if pair[1].value not in EXPECTED[pair[0].value]]


def at(state: State) -> Lifecycle:
    life = Lifecycle()
    life.state = state
    return life


def name(value: object) -> str:
    return str(value.value) if isinstance(value, (State, Move)) else repr(value)


def test_every_state_and_every_move_is_in_the_table() -> None:
    assert set(TABLE) == set(State)
    assert {state.value for state in State} == set(EXPECTED)
    used = {move for moves in TABLE.values() for move in moves}
    assert used == set(Move)
    assert len(LEGAL) == sum(len(moves) for moves in EXPECTED.values())


@pytest.mark.parametrize(("state", "move"), LEGAL, ids=name)
def test_a_legal_move(state: State, move: Move) -> None:
    life = at(state)
    assert life.can(move)
    assert life.state is state
    assert life.move(move) is life.state
    assert life.state.value == EXPECTED[state.value][move.value]


@pytest.mark.parametrize(("state", "move"), ILLEGAL, ids=name)
def test_an_illegal_move_raises_and_changes_nothing(state: State, move: Move) -> None:
    life = at(state)
    assert not life.can(move)
    with pytest.raises(IllegalMove) as caught:
        life.move(move)
    assert life.state is state
    assert isinstance(caught.value, RuntimeError)
    assert repr(state.value) in str(caught.value)
    assert repr(move.value) in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("state", State, ids=name)
def test_every_state_can_be_reached(state: State) -> None:
    seen = {State.CONNECTING}
    while True:
        more = {TABLE[s][m] for s in seen for m in TABLE[s]} - seen
        if not more:
            break
        seen |= more
    assert state in seen


@pytest.mark.parametrize("state", State, ids=name)
def test_every_state_leads_to_closed(state: State) -> None:
    """From wherever it is, `finish` and `lost` alone bring a connection to its end."""
    life = at(state)
    if life.can(Move.FINISH):
        life.move(Move.FINISH)
    if life.can(Move.LOST):
        life.move(Move.LOST)
    assert life.state is State.CLOSED


@pytest.mark.parametrize("state", State, ids=name)
def test_no_walk_can_go_round(state: State) -> None:
    """The table is acyclic, so that no event can come twice."""
    paths = [[state]]
    while paths:
        path = paths.pop()
        for following in TABLE[path[-1]].values():
            assert following not in path
            paths.append([*path, following])


def test_the_sets_of_states() -> None:
    assert {s.value for s in READING} == {"open", "write-closing", "write-closed"}
    assert {s.value for s in ACCEPTING} == {"open", "read-closed"}
    assert {s.value for s in ENDED} == {"ended", "closed"}
    for state in State:
        assert (Move.READ_ENDED in TABLE[state]) == (state in READING)
        assert (Move.END_WRITE in TABLE[state]) == (state in ACCEPTING)


@given(st.lists(st.sampled_from(list(Move)), max_size=40))
def test_random_walks(moves: list[Move]) -> None:
    life = Lifecycle()
    taken = []
    for move in moves:
        before = life.state
        legal = life.can(move)
        try:
            life.move(move)
        except IllegalMove:
            assert not legal
            assert life.state is before
        else:
            assert legal
            taken.append(move)
            assert life.state is TABLE[before][move]
    # Each event at most once, and nothing after the last.
    assert all(taken.count(move) <= 1 for move in Move)
    if Move.LOST in taken:
        assert taken[-1] is Move.LOST
        assert life.state is State.CLOSED
    if taken:
        assert taken[0] in (Move.MADE, Move.FINISH)


def test_a_lifecycle_takes_no_other_attribute() -> None:
    with pytest.raises(AttributeError):
        Lifecycle().other = 1  # type: ignore[attr-defined]
