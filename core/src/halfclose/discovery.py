"""Which backends are installed, which one is meant, and what is broken and why.

Each backend has an entry point of its own, ``NAME`` or ``NAME+VARIANT``, so that they can be listed
without importing anything.
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
"""The environment variable that names the backend to use where the program does not."""


@dataclass(frozen=True)
class BackendInfo:
    """One installed backend, as its distribution's metadata tell.

    :param name: the backend's name.
    :param distribution: the distribution that offers it.
    :param version: that distribution's version.
    :param entry_point: the module that its entry point names.
    """

    name: str
    distribution: str
    version: str
    entry_point: str


def available_backends() -> dict[str, BackendInfo]:
    """Every installed backend and variant by name. Nothing is imported, so nothing can fail."""
    found = {}
    for name, entries in sorted(installed_entries().items()):
        entry = entries[0]
        version = entry.dist.version if entry.dist is not None else ""
        found[name] = BackendInfo(name, distribution_of(entry), version, entry.value)
    return found


def none_installed() -> str:
    """What to say where there is no backend at all."""
    # Only where something is missing: importing it takes time.
    from .install_hints import localized

    ours = " or ".join(
        localized(f"pip install {name}") for name in ("halfclose-anyio", "halfclose-twisted")
    )
    return f"no backend is installed; to install one: {ours}"


def _not_found(name: str, by: str = "") -> BackendNotFound:
    """:param by: who asks for *name*, if it is not the program."""
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
    """What the plugin of the backend of that *name* says of it. Its framework is not imported.

    :raises BackendNotFound: none is installed; the message has the names that are there, close
        ones, and the install command.
    :raises BackendLoadError: its plugin does not load, or two distributions offer it.
    """
    return locate(name).spec


@dataclass(frozen=True)
class Located:
    """What a backend's plugin says of it, and where that plugin comes from.

    :param origin: the distribution and the entry point, in words.
    """

    spec: BackendSpec
    origin: str

    def load(self, what: str) -> Any:
        """Import the object that *what*, ``"module:attribute"`` of `spec`, names.

        :raises BackendLoadError: it cannot be imported; the message says what to install.
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
                f"{type(error).__name__}: {error}{hint}"
            ) from error


def locate(name: str) -> Located:
    """`find_backend`, with where it comes from.

    :raises BackendNotFound: see `find_backend`.
    :raises BackendLoadError: see `find_backend`.
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
            + (f"failed: {type(failure).__name__}: {failure}" if failure else "offers none")
        ) from failure
    return Located(specs[name], origin)


def load_backend(name: str) -> type[Backend]:
    """The `Backend` subclass of that *name*, its framework imported.

    :raises BackendNotFound: see `find_backend`.
    :raises BackendLoadError: it is installed and does not load, or two distributions offer it.
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
    try:
        return bool(spec.running())
    except Exception:
        _log.exception("the plugin of backend %r cannot tell whether it runs", spec.name)
        return False


def find_occupant() -> str | None:
    """What runs in this thread, so that no other loop can run in it; None: nothing.

    Where one runs inside another, the one whose plugin has the higher priority is told.
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

    In order: *name*; with *running*, the one whose framework runs in this thread; the environment
    variable ``HALFCLOSE_BACKEND``; the only one installed; the highest priority.

    :raises BackendNotFound: none is installed, or not the one that the variable names.
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
            # The program does not know what it asks for, nor does who reads this.
            raise _not_found(chosen, f", which {ENVIRONMENT} names,")
        return chosen
    automatic = [spec.name for spec in specs if spec.automatic]
    # One whose plugin is broken is chosen last: loading it says why.
    broken = sorted(set(installed_entries()) - set(known))
    for name in (*automatic, *broken):
        return name
    raise BackendNotFound(none_installed())
