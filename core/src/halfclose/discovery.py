"""Finds the installed backends, chooses one of them, and loads it.

Each backend has an entry point of its own, called ``NAME`` or ``NAME+VARIANT``, so that backends
can be listed without importing anything.
"""

from __future__ import annotations

import difflib
import logging
import os
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .backend import Backend
from .hooks import BackendSpec
from .plugins import distribution_of, installed_entries, key_of, registry
from .reasons import BackendLoadError, BackendNotFound
from .text import said

__all__ = [
    "ENVIRONMENT",
    "BackendInfo",
    "Located",
    "available_backends",
    "find_backend",
    "find_occupant",
    "load_backend",
    "locate",
    "none_installed",
    "select_backend",
]

_log = logging.getLogger("halfclose")

ENVIRONMENT = "HALFCLOSE_BACKEND"
"""The environment variable that names the backend to use if the program names none."""


@dataclass(frozen=True)
class BackendInfo:
    """One installed backend, as the metadata of its distribution describe it.

    :param name: the backend's name.
    :param distribution: the distribution that offers the backend.
    :param version: that distribution's version.
    :param entry_point: the module that the backend's entry point names.
    """

    name: str
    distribution: str
    version: str
    entry_point: str


def available_backends() -> dict[str, BackendInfo]:
    """Every installed backend and variant, by name.

    Nothing is imported, so a broken backend is listed too.
    """
    found = {}
    for name, entries in sorted(installed_entries().items()):
        entry = entries[0]
        version = entry.dist.version if entry.dist is not None else ""
        found[name] = BackendInfo(name, distribution_of(entry), version, entry.value)
    return found


def none_installed() -> str:
    """The message for a program that finds no backend at all."""
    # Imported here because importing it takes time, and it is needed only if something is missing.
    from .install_hints import is_known, localized
    from .origins import place

    ours = "halfclose-anyio", "halfclose-twisted"
    commands = [localized(f"pip install {name}") for name in ours if is_known(name)]
    if commands:
        return f"no backend is installed; to install one: {' or '.join(commands)}"
    return (
        f"no backend is installed; {' or '.join(ours)} is one, and is not where halfclose came "
        f"from, which is {place()}"
    )


def _not_found(name: str, by: str = "") -> BackendNotFound:
    """The error for a backend that is not installed, with similar names and the install command.

    :param by: what asks for *name* if the program itself does not, as words for the message.
    """
    names = sorted(installed_entries())
    close = difflib.get_close_matches(name.lower(), names, n=3)
    there = ", ".join(names) if names else "none"
    message = f"no backend {name!r}{by} is installed; there are: {there}."
    if close:
        message += f" Did you mean {' or '.join(close)}?"
    if name.isprintable() and name.replace("+", "").replace("-", "").isalnum():
        from .install_hints import is_installed, is_known, localized

        package = f"halfclose-{name.partition('+')[0].lower()}"
        if is_known(package) and not is_installed(package):
            message += f" If it is a package: {localized(f'pip install {package}')}"
    return BackendNotFound(message)


def find_backend(name: str) -> BackendSpec:
    """The description that the plugin of the backend *name* gives of it.

    The backend's framework is not imported.

    :param name: the backend's full name, such as ``"anyio+trio"``.
    :raises BackendNotFound: no backend of that name is installed. The message has the names of the
        installed ones, the similar names among them, and the install command.
    :raises BackendLoadError: the backend's plugin does not load, or two distributions offer a
        backend of that name.
    :raises TypeError: *name* is no string.
    """
    return locate(name).spec


@dataclass(frozen=True)
class Located:
    """A backend's description, and where the plugin that gave it comes from.

    :param origin: the plugin's distribution and entry point, in words for a message.
    """

    spec: BackendSpec
    origin: str

    def load(self, what: str) -> Any:
        """Import an object of the backend and give it.

        :param what: ``"module:attribute"``, a value of one of the fields of `spec`.
        :raises BackendLoadError: the object cannot be imported. The message says what to install.
        """
        try:
            module, _, attribute = what.partition(":")
            return getattr(import_module(module), attribute)
        except (Exception, SystemExit) as error:
            from .install_hints import localized

            install = self.spec.install
            hint = f"; to install what is missing: {localized(install)}" if install else ""
            raise BackendLoadError(
                f"backend {self.spec.name!r} ({self.origin}) does not load: "
                f"{type(error).__name__}: {said(error)}{hint}"
            ) from error


def locate(name: str) -> Located:
    """The description of the backend *name*, with the origin of its plugin.

    :raises BackendNotFound: see `find_backend`.
    :raises BackendLoadError: see `find_backend`.
    :raises TypeError: *name* is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"a backend's name is a string, not {name!r}")
    entries = installed_entries().get(name, [])
    if len(entries) > 1:
        owners = " and ".join(f"{distribution_of(e)} ({e.value})" for e in entries)
        raise BackendLoadError(f"backend {name!r} is offered twice, by {owners}; uninstall one")
    if entries:
        plugin = registry.load(entries[0])
        origin = f"distribution {distribution_of(entries[0])}, entry point {entries[0].value!r}"
        key = key_of(entries[0])
        specs = {spec.name: spec for spec in registry.specs_of(plugin, key)}
    else:
        origin = "a plugin registered by this program"
        specs = registry.specs()
        if name not in specs:
            raise _not_found(name)
    if name not in specs:
        failure = registry.failure(key)
        raise BackendLoadError(
            f"backend {name!r} ({origin}) does not load: its plugin "
            + (f"failed: {type(failure).__name__}: {said(failure)}" if failure else "offers none")
        ) from failure
    return Located(specs[name], origin)


def load_backend(name: str) -> type[Backend]:
    """The `Backend` subclass of the backend *name*. This imports its framework.

    :param name: the backend's full name, such as ``"anyio+trio"``.
    :raises BackendNotFound: see `find_backend`.
    :raises BackendLoadError: the backend is installed but does not load, or two distributions offer
        a backend of that name.
    :raises TypeError: *name* is no string.
    """
    located = locate(name)
    implementation = located.load(located.spec.implementation)
    if not (isinstance(implementation, type) and issubclass(implementation, Backend)):
        raise BackendLoadError(
            f"backend {name!r} ({located.origin}) does not load: "
            f"{located.spec.implementation} is no halfclose.Backend"
        )
    return implementation


def _runs(spec: BackendSpec) -> bool:
    """Whether the backend's framework runs in this thread; False if its plugin fails to tell."""
    try:
        return bool(spec.running())
    except Exception:
        _log.exception("the plugin of backend %r cannot tell whether it runs", spec.name)
        return False


def find_occupant() -> str | None:
    """The name, in words, of the loop that runs in this thread; None if no loop does.

    A caller that gets a name can start no loop of its own here. If one loop runs inside another,
    this is the one whose plugin has the higher priority.
    """
    registry.load_once()
    specs = sorted(registry.specs().values(), key=lambda spec: (-spec.priority, spec.name))
    for spec in specs:
        if spec.occupant is None:
            if _runs(spec):
                return f"the backend {spec.name!r}"
            continue
        try:
            what = spec.occupant()
        except Exception:
            _log.exception("the plugin of backend %r cannot tell what runs", spec.name)
            continue
        if what is not None:
            return what
    return None


def select_backend(name: str | None = None, *, running: bool) -> str:
    """The name of the backend to use.

    It is the first of these that there is: *name*; if *running* is true, the backend whose
    framework runs in this thread; the value of the environment variable ``HALFCLOSE_BACKEND``; the
    installed backend with the highest priority.

    :param name: the name that the program gave; None if it gave none.
    :param running: whether to look for a framework that runs in this thread.
    :raises BackendNotFound: no backend is installed, or not the one that the variable names.
    """
    if name is not None:
        return name
    registry.load_all()
    known = registry.specs()
    specs = sorted(known.values(), key=lambda spec: (-spec.priority, spec.name))
    if running:
        for spec in specs:
            if _runs(spec):
                return spec.name
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        if chosen not in known and chosen not in installed_entries():
            # The message names the variable, because the program's author never wrote this name.
            raise _not_found(chosen, f", which {ENVIRONMENT} names,")
        return chosen
    automatic = [spec.name for spec in specs if spec.automatic]
    # A backend with a broken plugin comes last. If it is chosen, loading it tells what is broken.
    broken = sorted(set(installed_entries()) - set(known))
    for name in (*automatic, *broken):
        return name
    raise BackendNotFound(none_installed())
