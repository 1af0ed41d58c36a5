"""A backend's author hears at once of a name that core's classes use for themselves."""

from __future__ import annotations

from typing import Any

import pytest
from halfclose import Backend, EventLoop
from halfclose.io.host import SocketHost


def bare(**names: Any) -> type[Backend]:
    """A backend that has all methods, of which none does anything."""
    methods = dict.fromkeys(EventLoop.__abstractmethods__)
    return type("Bare", (Backend,), {**methods, **names})


INSTANCE = sorted(name for name in vars(bare()("bare")) if name.startswith("_"))
METHODS = sorted(
    name
    for cls in (*SocketHost.__mro__, Backend)
    if cls.__module__.startswith("halfclose.")
    for name in vars(cls)
    if name.startswith("_") and not name.startswith(("__", "_abc_"))
)


@pytest.mark.parametrize("name", [*INSTANCE, *METHODS])
def test_a_private_name_of_cores_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Bare\.{name} would replace .* choose another name"):
        bare(**{name: None})


def test_other_names_are_the_authors() -> None:
    assert INSTANCE
    assert METHODS
    bare(_loop=None, anything=None)
