"""Scripts, and their text."""

from __future__ import annotations

import shlex

import pytest
from halfclose.testing.exploration import Script, ScriptError, parse_script
from halfclose.testing.exploration.script import (
    ENDS,
    EVENTS,
    FAULTS,
    LIMIT,
    PROTOCOLS,
    VERBS,
    WAYS,
    Act,
    End,
    Fault,
    Reaction,
    Turns,
    Verb,
    Wait,
)
from hypothesis import given, settings
from hypothesis import strategies as st

NUMBERS = st.integers(0, LIMIT)


@st.composite
def verbs(draw: st.DrawFn, *, inside: bool) -> Verb:
    name = draw(st.sampled_from([name for name in VERBS if inside or name != "raise"]))
    least, most = VERBS[name]
    return Verb(name, tuple(draw(st.lists(NUMBERS, min_size=least, max_size=most))))


def some(*, inside: bool) -> st.SearchStrategy[tuple[Verb, ...]]:
    return st.lists(verbs(inside=inside), min_size=1, max_size=4).map(tuple)


@st.composite
def reactions(draw: st.DrawFn) -> Reaction:
    event = draw(st.sampled_from(EVENTS))
    after = draw(st.integers(1, LIMIT)) if event == "data" else 1
    return Reaction(event, draw(some(inside=True)), after)


@st.composite
def ends(draw: st.DrawFn, name: str) -> End:
    protocol = draw(st.sampled_from(PROTOCOLS[name]))
    if protocol == "raw":
        return End(protocol)
    return End(protocol, tuple(draw(st.lists(reactions(), max_size=3))))


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    name = draw(st.sampled_from(sorted(FAULTS)))
    number = draw(NUMBERS) if FAULTS[name] else 0
    return Fault(name, draw(st.sampled_from(sorted(WAYS))), number)


STEPS = st.one_of(
    st.builds(Act, st.sampled_from(ENDS), some(inside=False)),
    st.just(Wait()),
    st.builds(Turns, st.integers(1, LIMIT)),
    faults(),
)

SCRIPTS = st.builds(
    Script,
    st.sampled_from(("tcp", "native-unix", "memory", "my-own-9")),
    ends("a"),
    ends("b"),
    st.none() | st.tuples(NUMBERS, NUMBERS).filter(lambda marks: marks[0] < marks[1]),
    NUMBERS,
    NUMBERS,
    st.lists(STEPS, max_size=8).map(tuple),
)


@given(SCRIPTS)
@settings(max_examples=300)
def test_its_text_gives_the_script_back(script: Script) -> None:
    text = str(script)
    assert parse_script(text) == script
    assert str(parse_script(text)) == text


@given(SCRIPTS)
def test_its_text_is_one_line_that_a_shell_takes(script: Script) -> None:
    text = str(script)
    assert text.isprintable()
    assert shlex.quote(text) in (text, f"'{text}'")


@given(SCRIPTS, st.sampled_from((" ", "\t", "\n", "  ")))
def test_white_space_does_not_matter(script: Script, space: str) -> None:
    assert parse_script(str(script).replace(" ", space)) == script


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "script, part 1, '': a script begins with a type of channel, such as 'tcp'"),
        ("a: lwc", "script, part 1, 'a: lwc': a script begins with a type of channel"),
        ("tcp; ", "script, part 2, '': it begins with none of water, "),
        ("tcp; c: lwc", "script, part 2, 'c: lwc': it begins with none of water, "),
        ("tcp; a: wrte 5", "script, part 2, 'a: wrte 5': there is no verb 'wrte'; there are write"),
        ("tcp; a: write", "'write' takes 1 number, not 0"),
        ("tcp; a: lwc 1", "'lwc' takes 0 numbers, not 1"),
        ("tcp; a: sequence 1 2 3 4 5", "'sequence' takes 0 to 4 numbers, not 5"),
        ("tcp; a: write -1", "'-1' is no number from 0 to 16777216"),
        ("tcp; a: write ٣", "'٣' is no number from 0 to 16777216"),
        (f"tcp; a: write {LIMIT + 1}", "'16777217' is no number from 0 to 16777216"),
        ("tcp; a: write " + "9" * 5000, "is no number from 0 to 16777216"),
        ("tcp; a: write 000000000000016777217", "is no number from 0 to 16777216"),
        ("tcp; a:", "there is no verb ''"),
        ("tcp; a: lwc,", "there is no verb ''"),
        ("tcp; a: raise", "'raise' has a meaning inside an event only"),
        ("tcp; a on end: lwc", "there is no event 'end'; there are made, data, read, write, lost"),
        ("tcp; a on read", "a colon and verbs are missing"),
        ("tcp; a on read 5: lwc", "only 'data' takes a number"),
        ("tcp; a on data 0: lwc", "'0' is no number from 1 to 16777216"),
        ("tcp; a quarter", "no end 'a' is 'quarter'; it can be half, plain, raw, on EVENT: VERBS"),
        ("tcp; b raw", "no end 'b' is 'raw'; it can be half, plain, on EVENT: VERBS"),
        ("tcp; a raw; a on read: lwc", "a raw peer has no events to react to"),
        ("tcp; wait 5", "0 more words are wanted here, not 1"),
        ("tcp; turns", "'' is no number from 1 to 16777216"),
        ("tcp; turns 0", "'0' is no number from 1 to 16777216"),
        ("tcp; water 5", "2 more words are wanted here, not 1"),
        ("tcp; water 5 5", "the low mark must be below the high one"),
        ("tcp; stall sideways", "there is no way 'sideways'; there are up, down"),
        ("tcp; reset up", "2 more words are wanted here, not 1"),
        ("tcp; seed x", "'x' is no number from 0 to 16777216"),
    ],
)
def test_a_wrong_text_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


@given(st.text(st.sampled_from("ab:;, on read data write lwc 159 tcp raise\n'\"\0é"), max_size=60))
def test_any_text_is_a_script_or_a_script_error(text: str) -> None:
    try:
        script = parse_script(text)
    except ScriptError:
        return
    assert parse_script(str(script)) == script
