"""The tables of docs/reference/options.md: every option, its unit, its default, its meaning."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

from documents.docstrings import documentation, fields, markdown
from halfclose import AbstractBackend, ConnectionOptions
from halfclose.backend import _OPTIONS, GRACE
from halfclose.io.busy_polling import BUSY_POLL
from halfclose.memory.backend import MemoryBackend
from halfclose_anyio.backend import AnyioBackend
from halfclose_twisted.backend import TwistedBackend

__all__ = ["backend_options", "calls", "connection_options"]

_UNITS = ("seconds", "bytes", "permission bits")


def connection_options() -> str:
    """The fields of `ConnectionOptions`."""
    told = {field.name: field.text for field in fields(documentation(ConnectionOptions))}
    rows = ["| option | unit | default | meaning |", "| --- | --- | --- | --- |"]
    for field in dataclasses.fields(ConnectionOptions):
        text = told[field.name]
        (unit,) = (unit for unit in _UNITS if text.startswith(unit))
        rows.append(f"| `{field.name}` | {unit} | {_value(field.default)} | {markdown(text)} |")
    return "\n".join(rows)


def _value(value: object) -> str:
    """A default, for a reader."""
    if isinstance(value, int) and value >= 1024:
        size, unit = (value >> 20, "MiB") if value >= 1 << 20 else (value >> 10, "KiB")
        return f"`{value}` ({size} {unit})"
    return f"`0o{value:o}`" if value == 0o600 else f"`{value!r}`"


# Backend, option, unit, default, meaning. What a default is, the code says.
_BACKEND_OPTIONS = (
    (
        "every",
        "grace",
        "seconds",
        GRACE,
        "how long leaving the backend waits for its connections to end, before it aborts them",
    ),
    (
        "every, but not `memory`",
        "sockets",
        '`"poller"` or `"native"`',
        None,
        "what reads and writes sockets: the library's own poller, or the framework's transports. "
        "None: the poller where the platform has epoll",
    ),
    (
        "every, but not `memory`",
        "busy_poll",
        "seconds",
        BUSY_POLL,
        "while messages come faster than one in this time, the loop waits for the next one "
        "without sleeping; 0: never",
    ),
    (
        "`twisted`",
        "reactor",
        "a reactor",
        None,
        "the reactor to use. None: `run` takes one of its own, and `open_backend` uses the one "
        "that runs",
    ),
    ("`memory`", "network", "a `Network`", None, "the network to join. None: make one"),
)


def _rows() -> Iterator[tuple[str, str, str, object, str]]:
    yield from _BACKEND_OPTIONS
    # The rest of the backend memory's are what a new network takes.
    from halfclose.memory import Network

    told = {field.name: field.text for field in fields(documentation(Network))}
    units = {"seed": "a number", "chunks": "bytes", "buffer": "bytes", "latency": "seconds"}
    for name, parameter in inspect.signature(Network).parameters.items():
        yield "`memory`", name, units[name], parameter.default, f"{told[name].rstrip('.')}"


def backend_options() -> str:
    """The options that `run` and `open_backend` take."""
    known = set(_OPTIONS).union(
        *(cls.option_names for cls in (MemoryBackend, TwistedBackend, AnyioBackend))
    )
    rows = ["| option | backends | unit | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for backends, name, unit, default, meaning in _rows():
        known.remove(name)
        rows.append(
            f"| `{name}` | {backends} | {unit} | {_value(default)} | {markdown(meaning)}. |"
        )
    assert not known, f"no row tells of {known}"
    return "\n".join(rows)


def calls() -> str:
    """The parameters of connect and listen."""
    rows = ["| call | parameter | default | meaning |", "| --- | --- | --- | --- |"]
    for function in (AbstractBackend.connect, AbstractBackend.listen):
        told = {field.name: field.text for field in fields(documentation(function))}
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
            default = "" if parameter.default is parameter.empty else _value(parameter.default)
            rows.append(
                f"| `{function.__name__}` | `{name}` | {default} | {markdown(told[name])} |"
            )
    return "\n".join(rows)
