"""The tables of docs/reference/errors.md: which errors there are, and when they come."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import halfclose
import halfclose.memory
from documents.docstrings import documentation, fields, first_paragraph, markdown

__all__ = ["errors", "every_error", "raised"]


def every_error() -> list[type[BaseException]]:
    """The public exceptions, each after its base."""

    def below(cls: type[BaseException]) -> Iterator[type[BaseException]]:
        if cls in public:
            yield cls
        for each in cls.__subclasses__():
            yield from below(each)

    public = [
        thing
        for module in (halfclose, halfclose.memory)
        for thing in (getattr(module, name) for name in module.__all__)
        if isinstance(thing, type) and issubclass(thing, BaseException)
    ]
    ours = list(below(halfclose.HalfcloseError))
    # In the order of the module that defines them.
    return ours + [cls for cls in public if cls not in ours]


def errors() -> str:
    """The errors of the library, by hierarchy."""
    rows = ["| error | when | is also |", "| --- | --- | --- |"]
    for cls in every_error():
        bases = ", ".join(f"`{base.__name__}`" for base in cls.__bases__)
        when = markdown(first_paragraph(documentation(cls)))
        rows.append(f"| `{_name(cls)}` | {when} | {bases} |")
    return "\n".join(rows)


def _name(cls: type) -> str:
    return (
        f"halfclose.memory.{cls.__name__}"
        if cls.__module__.startswith("halfclose.memory")
        else cls.__name__
    )


_CALLED: tuple[Any, ...] = (
    halfclose.run,
    halfclose.open_backend,
    halfclose.AbstractBackend.connect,
    halfclose.AbstractBackend.listen,
    halfclose.ConnectionOptions,
    *(member for _, member in inspect.getmembers(halfclose.Transport, inspect.isfunction)),
    halfclose.parse_endpoint,
    halfclose.load_backend,
    halfclose.find_backend,
    halfclose.register,
    halfclose.unregister,
)
"""What a program calls, in the order in which it does."""


def raised() -> str:
    """What each function that a program calls can raise."""
    rows = ["| call | raises | when |", "| --- | --- | --- |"]
    for thing in _CALLED:
        for field in fields(documentation(thing)):
            if field.kind == "raises":
                rows.append(f"| `{_called(thing)}` | `{field.name}` | {markdown(field.text)} |")
    return "\n".join(rows)


def _called(thing: Any) -> str:
    return (
        str(thing.__qualname__)
        .replace("AbstractBackend", "backend")
        .replace("Transport", "transport")
    )
