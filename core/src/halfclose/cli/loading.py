"""Loads the protocol that ``halfclose run`` serves, from an argument ``MODULE:NAME``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType

from ..interfaces import Protocol
from ..text import one_line
from .report import USAGE, Problem

__all__ = ["load_protocol"]


def load_protocol(target: str) -> Callable[[], Protocol]:
    """What *target* names, as in ``package.module:Class`` or ``./file.py:function``.

    :returns: a protocol class, or another callable. What that gives is not known before it is
        called for a connection.
    :raises Problem: the module cannot be imported, has no such name, or this is no protocol class
        and no other callable, or cannot be called without arguments.
    """
    where, _, name = target.rpartition(":")
    if not where or not name:
        raise Problem(
            f"{target!r} names no protocol; write it like my_module:Echo or ./my_echo.py:Echo",
            USAGE,
        )
    is_file = where.endswith(".py") or os.sep in where
    try:
        module = _import_file(where) if is_file else _import_module(where)
    except (Exception, SystemExit) as error:
        raise Problem(f"cannot import {where!r}: {_describe(error)}", USAGE) from error
    try:
        found = getattr(module, name)
    except AttributeError:
        raise Problem(f"module {where!r} has no {name!r}", USAGE) from None
    return _checked(target, found)


def _import_module(name: str) -> ModuleType:
    # Modules in the current directory can be imported, as with python -m.
    sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _import_file(path: str) -> ModuleType:
    """Import a file under the name of the file, unless another module has that name."""
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"{name} in {path}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    # Modules beside the file can be imported, as beside a script.
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _describe(error: BaseException) -> str:
    """*error* in one line, with the place in the imported code where it was raised."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if "importlib" not in f.filename), None)
    if last is not None and last.filename != __file__ and not isinstance(error, SyntaxError):
        text += f" ({os.path.basename(last.filename)}, line {last.lineno})"
    return one_line(text)


_FUNCTION = "a function without arguments that makes a protocol can be named too"


def _checked(target: str, found: object) -> Callable[[], Protocol]:
    """Return *found* if it is a protocol class or another callable, and needs no arguments.

    :raises Problem: it is not.
    """
    if not callable(found):
        raise Problem(
            f"{target!r} is no protocol class, but an object of {type(found).__name__}; "
            f"{_FUNCTION}",
            USAGE,
        )
    if isinstance(found, type):
        if not issubclass(found, Protocol):
            raise Problem(
                f"{target!r} is no protocol: halfclose.Protocol is not its base; {_FUNCTION}", USAGE
            )
        if inspect.isabstract(found):
            lacking = ", ".join(sorted(found.__abstractmethods__))
            raise Problem(f"{target!r} is abstract: it lacks {lacking}", USAGE)
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise Problem(
            f"{target!r} cannot be called without arguments: {error}; {_FUNCTION}", USAGE
        ) from None
    except ValueError:
        pass  # Python cannot tell the signature of everything.
    made: Callable[[], Protocol] = found
    return made
