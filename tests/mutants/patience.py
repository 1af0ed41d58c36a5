"""How long is waited for what never comes: shorter here, where much never comes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import pytest
from halfclose import backend
from halfclose.testing.channels import peers
from halfclose.testing.tools import waiting

__all__ = ["patience"]


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Have the kit wait for anything for *seconds*, and less where it need not wait long."""
    # By identity: the very constants, wherever they were imported to.
    shorter = {id(peers.LIMIT): seconds, id(waiting.SOON): seconds / 4}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(backend, "GRACE", seconds / 4)
        for module in _kit():
            for name in [name for name, value in vars(module).items() if id(value) in shorter]:
                monkeypatch.setattr(module, name, shorter[id(getattr(module, name))])
            for function in _functions(module):
                defaults = function.__defaults__ or ()
                if any(id(value) in shorter for value in defaults):
                    new = tuple(shorter.get(id(value), value) for value in defaults)
                    monkeypatch.setattr(function, "__defaults__", new)
        yield


def _kit() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith("halfclose.testing.")]


def _functions(module: ModuleType) -> list[Any]:
    owners = [module, *(one for _, one in inspect.getmembers(module, inspect.isclass))]
    found = [value for owner in owners for value in vars(owner).values()]
    return [value for value in found if isinstance(value, FunctionType)]
