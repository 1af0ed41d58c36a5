"""Reads the text of a script."""

from __future__ import annotations

from collections.abc import Callable

from .script import (
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
    Script,
    Step,
    Turns,
    Verb,
    Wait,
)

__all__ = ["ScriptError", "parse_script"]


class ScriptError(ValueError):
    """A text is no script, or the script cannot be performed; the message says what is wrong."""


def parse_script(text: str) -> Script:
    """The script that *text* is; ``str(script)`` gives the text back.

    :raises ScriptError: it is none; the message quotes the part and says what is wrong with it.
    """
    parser = _Parser()
    for number, part in enumerate(text.split(";"), 1):
        words = " ".join(part.split())
        try:
            parser.part(words, first=number == 1)
        except ScriptError as error:
            raise ScriptError(f"script, part {number}, {words!r}: {error}") from None
    return parser.script()


class _Parser:
    def __init__(self) -> None:
        self._channel_type = ""
        self._protocols = dict.fromkeys(ENDS, "half")
        self._reactions: dict[str, list[Reaction]] = {name: [] for name in ENDS}
        self._water: tuple[int, int] | None = None
        self._numbers = {"seed": 0, "chunk": 0}
        self._steps: list[Step] = []
        self._heads: dict[str, Callable[[str], None]] = {
            "water": self._marks,
            "seed": lambda rest: self._number("seed", rest),
            "chunk": lambda rest: self._number("chunk", rest),
            "wait": self._wait,
            "turns": lambda rest: self._steps.append(Turns(_number(rest, 1))),
            **{name: self._fault_of(name) for name in FAULTS},
            **{name: self._end_of(name) for name in ENDS},
        }

    def script(self) -> Script:
        a, b = (End(self._protocols[name], tuple(self._reactions[name])) for name in ENDS)
        if a.protocol == "raw" and a.reactions:
            raise ScriptError("script: a raw peer has no events to react to")
        return Script(
            self._channel_type, a, b, self._water, **self._numbers, steps=tuple(self._steps)
        )

    def part(self, words: str, *, first: bool) -> None:
        """One part of the text, between semicolons.

        :raises ScriptError: it is wrong.
        """
        if first:
            if not words or not words.replace("-", "").isalnum():
                raise ScriptError("a script begins with a type of channel, such as 'tcp'")
            self._channel_type = words
            return
        for name in ENDS:
            if words.startswith(f"{name}:"):
                self._steps.append(Act(name, _verbs(words[2:], inside=False)))
                return
        head, _, rest = words.partition(" ")
        if head not in self._heads:
            raise ScriptError(f"it begins with none of {', '.join((*self._heads, 'a:', 'b:'))}")
        self._heads[head](rest)

    def _marks(self, rest: str) -> None:
        low, high = (_number(one) for one in _split(rest, 2))
        if low >= high:
            raise ScriptError("the low mark must be below the high one")
        self._water = low, high

    def _number(self, name: str, rest: str) -> None:
        self._numbers[name] = _number(rest)

    def _wait(self, rest: str) -> None:
        _split(rest, 0)
        self._steps.append(Wait())

    def _fault_of(self, name: str) -> Callable[[str], None]:
        def fault(rest: str) -> None:
            way, *number = _split(rest, 2 if FAULTS[name] else 1)
            if way not in WAYS:
                raise ScriptError(f"there is no way {way!r}; there are {', '.join(WAYS)}")
            self._steps.append(Fault(name, way, *map(_number, number)))

        return fault

    def _end_of(self, name: str) -> Callable[[str], None]:
        def end(rest: str) -> None:
            if rest.startswith("on "):
                self._reactions[name].append(_reaction(rest[3:]))
            elif rest in PROTOCOLS[name]:
                self._protocols[name] = rest
            else:
                known = ", ".join((*PROTOCOLS[name], "on EVENT: VERBS"))
                raise ScriptError(f"no end {name!r} is {rest!r}; it can be {known}")

        return end


def _split(text: str, count: int) -> list[str]:
    words = text.split()
    if len(words) != count:
        raise ScriptError(f"{count} more words are wanted here, not {len(words)}")
    return words


def _number(text: str, least: int = 0) -> int:
    digits = text.isascii() and text.isdigit() and len(text) < 10
    if not digits or not least <= int(text) <= LIMIT:
        raise ScriptError(f"{text!r} is no number from {least} to {LIMIT}")
    return int(text)


def _verb(text: str) -> Verb:
    name, *numbers = text.split() or [""]
    if name not in VERBS:
        raise ScriptError(f"there is no verb {name!r}; there are {', '.join(VERBS)}")
    least, most = VERBS[name]
    if not least <= len(numbers) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        plural = "" if wanted == "1" else "s"
        raise ScriptError(f"{name!r} takes {wanted} number{plural}, not {len(numbers)}")
    return Verb(name, tuple(map(_number, numbers)))


def _verbs(text: str, *, inside: bool) -> tuple[Verb, ...]:
    verbs = tuple(_verb(one) for one in text.split(","))
    if not inside and any(verb.name == "raise" for verb in verbs):
        raise ScriptError("'raise' has a meaning inside an event only")
    return verbs


def _reaction(text: str) -> Reaction:
    head, colon, verbs = text.partition(":")
    event, _, after = head.strip().partition(" ")
    if event not in EVENTS:
        raise ScriptError(f"there is no event {event!r}; there are {', '.join(EVENTS)}")
    if not colon:
        raise ScriptError("a colon and verbs are missing")
    if after and event != "data":
        raise ScriptError("only 'data' takes a number")
    return Reaction(event, _verbs(verbs, inside=True), _number(after, 1) if after else 1)
