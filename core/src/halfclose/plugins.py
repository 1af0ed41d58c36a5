"""Which backends are installed, which one is meant, and what is broken and why.

Backends are found by entry point, group ``halfclose``: one entry for each name, ``NAME`` or
``NAME+VARIANT``, so that they can be listed without importing anything. The entry's module is a
pluggy plugin (`hooks.HookSpecs`), and light: importing it imports no framework.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from .hooks import GROUP, HookSpecs
from .reasons import BackendLoadError, BackendNotFound

if TYPE_CHECKING:
    from .backend import Backend
    from .interfaces import BaseProtocol, Transport
    from .testing.channels.kinds import Kind
    from .testing.hosts import Host

__all__ = [
    "ENVIRONMENT",
    "BackendInfo",
    "BackendSpec",
    "Hooks",
    "available_backends",
    "find_backend",
    "find_occupant",
    "load_backend",
    "load_hosts",
    "load_kinds",
    "load_plugins",
    "none_installed",
    "register",
    "select_backend",
    "unregister",
]

_log = logging.getLogger("halfclose")

ENVIRONMENT = "HALFCLOSE_BACKEND"
"""The environment variable that names the backend to use where the program does not."""


@dataclass(frozen=True)
class BackendSpec:
    """One backend, as its plugin describes it.

    :param name: ``NAME`` or ``NAME+VARIANT``; the name of the entry point.
    :param implementation: ``"module:attribute"`` of the `Backend` subclass, imported when asked
        for.
    :param running: whether this backend's framework runs in this thread now; it must import
        nothing (look into ``sys.modules``).
    :param priority: of several that fit, the highest is taken; 0 for a third party's.
    :param install: what to install when *implementation* cannot be imported.
    :param kinds: ``"module:attribute"`` of a tuple of `halfclose.testing.Kind`, on each of which
        the contract suite runs; by default the socket lane's and stdio.
    :param hosts: ``"module:attribute"`` of a tuple of `halfclose.testing.Host`, by each of which
        the contract suite can run beside `halfclose.run`; by default none.
    :param automatic: whether it may be chosen where none is named and its framework is not
        running.
    :param occupant: what runs in this thread now, be it a task or a callback that asks, in words
        such as "an asyncio event loop"; None: nothing that this plugin knows. It must import
        nothing. By default the backend's name, where *running* says that it runs.
    """

    name: str
    implementation: str
    running: Callable[[], bool] = lambda: False
    priority: int = 0
    install: str = ""
    kinds: str = "halfclose.testing.channels.kinds:KINDS"
    hosts: str = "halfclose.testing.hosts:HOSTS"
    automatic: bool = True
    occupant: Callable[[], str | None] | None = None


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


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def _entries() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        same = found.setdefault(entry.name, [])
        # One distribution can be on the path twice, as a checkout is beside its installation.
        if all((_distribution(e), e.value) != (_distribution(entry), entry.value) for e in same):
            same.append(entry)
    return found


def available_backends() -> dict[str, BackendInfo]:
    """Every installed backend and variant by name. Nothing is imported, so nothing can fail."""
    found = {}
    for name, entries in sorted(_entries().items()):
        entry = entries[0]
        version = entry.dist.version if entry.dist is not None else ""
        found[name] = BackendInfo(name, _distribution(entry), version, entry.value)
    return found


class _Registry:
    """The plugins that were loaded in this process, and the failures of those that were not."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(HookSpecs)
        self._failures: dict[str, BaseException] = {}
        self._loaded = False
        # Who listens: asked for with each connection, and changed with a plugin only.
        self.made: tuple[Any, ...] = ()
        self.half_closed: tuple[Any, ...] = ()
        self.lost: tuple[Any, ...] = ()

    def register(self, plugin: Any, name: str | None) -> None:
        """Add *plugin*.

        :raises ValueError: it, or another of that *name*, is registered already.
        """
        self.manager.register(plugin, name)
        self._look_who_listens()

    def unregister(self, plugin: Any) -> None:
        """Take back `register`."""
        self.manager.unregister(plugin)
        self._look_who_listens()

    def _look_who_listens(self) -> None:
        hook = self.manager.hook
        # In pluggy's order of calls: the last to be registered is the first.
        self.made = tuple(reversed(hook.halfclose_connection_made.get_hookimpls()))
        self.half_closed = tuple(reversed(hook.halfclose_half_closed.get_hookimpls()))
        self.lost = tuple(reversed(hook.halfclose_connection_lost.get_hookimpls()))

    def load(self, entry: EntryPoint) -> Any:
        """The plugin of *entry*, registered.

        :raises BackendLoadError: its module cannot be imported, now or when first tried.
        """
        key = f"{_distribution(entry)}:{entry.value}"
        plugin = self.manager.get_plugin(key)
        if plugin is not None:
            return plugin
        try:
            if key in self._failures:
                raise self._failures[key]
            plugin = entry.load()
            if not self.manager.is_registered(plugin):
                self.register(plugin, key)
        except (Exception, SystemExit) as error:
            self._failures[key] = error
            raise BackendLoadError(
                f"backend {entry.name!r} does not load: entry point {entry.value!r} of "
                f"distribution {_distribution(entry)} failed: {type(error).__name__}: {error}"
            ) from error
        return plugin

    def load_all(self) -> None:
        """Load every plugin; one that fails is remembered, and told when it is asked for."""
        for entries in _entries().values():
            for entry in entries:
                try:
                    self.load(entry)
                except BackendLoadError:
                    pass

    def load_once(self) -> None:
        """`load_all`, the first time in this process: a backend is made for every stream."""
        if not self._loaded:
            self._loaded = True
            self.load_all()

    def failure(self, key: str) -> BaseException | None:
        """What the plugin of that key failed with, if it did."""
        return self._failures.get(key)

    def specs(self) -> dict[str, BackendSpec]:
        """What the loaded plugins offer, by name."""
        found: dict[str, BackendSpec] = {}
        for name, plugin in self.manager.list_name_plugin():
            for spec in self.specs_of(plugin, name):
                found.setdefault(spec.name, spec)
        return found

    def specs_of(self, plugin: Any, name: str) -> list[BackendSpec]:
        others = [other for other in self.manager.get_plugins() if other is not plugin]
        caller = self.manager.subset_hook_caller("halfclose_backends", others)
        try:
            found = [spec for specs in caller() for spec in specs]
            for spec in found:
                if not isinstance(spec, BackendSpec):
                    raise TypeError(f"{spec!r} is no halfclose.BackendSpec")
            return found
        except (Exception, SystemExit) as error:
            self._failures[name] = error
            return []


_registry = _Registry()


def register(plugin: Any, name: str | None = None) -> None:
    """Add a plugin that no entry point names, such as a program's own metrics.

    :param plugin: a module or object with functions marked by `halfclose.hookimpl`.
    :raises ValueError: it, or another of that *name*, is registered already.
    """
    _registry.register(plugin, name)


def unregister(plugin: Any) -> None:
    """Take back `register`.

    :raises ValueError: it is not registered.
    """
    if not _registry.manager.is_registered(plugin):
        raise ValueError(f"plugin {plugin!r} is not registered")
    _registry.unregister(plugin)


def load_plugins() -> None:
    """Load every plugin, once in this process; a broken one is told of when it is asked for."""
    _registry.load_once()


class Hooks:
    """The hooks that connections call; what a plugin raises is logged and hurts nobody else."""

    def __init__(self, fatal: Callable[[BaseException], None], report: Callable[..., None]) -> None:
        self._fatal = fatal
        self._report = report
        load_plugins()

    def _call(self, listening: tuple[Any, ...], **arguments: object) -> None:
        # One by one: pluggy itself stops at the first that raises.
        for implementation in listening:
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except (KeyboardInterrupt, SystemExit) as error:
                self._fatal(error)
            except BaseException as error:
                self._report(
                    error,
                    "%s of plugin %s failed",
                    implementation.function.__name__,
                    implementation.plugin_name,
                )

    def connection_made(self, transport: Transport, protocol: BaseProtocol) -> None:
        """``connectionMade`` has returned."""
        if _registry.made:
            self._call(_registry.made, transport=transport, protocol=protocol)

    def half_closed(self, transport: Transport, side: str) -> None:
        """One half has ended, "read" or "write"."""
        if _registry.half_closed:
            self._call(_registry.half_closed, transport=transport, side=side)

    def connection_lost(self, transport: Transport, reason: BaseException) -> None:
        """``connectionLost`` has returned."""
        if _registry.lost:
            self._call(_registry.lost, transport=transport, reason=reason)


def none_installed() -> str:
    """What to say where there is no backend at all."""
    # Only where something is missing: importing it takes time.
    from .installing import localized

    ours = " or ".join(
        localized(f"pip install {name}") for name in ("halfclose-anyio", "halfclose-twisted")
    )
    return f"no backend is installed; to install one: {ours}"


def _not_found(name: str, by: str = "") -> BackendNotFound:
    """:param by: who asks for *name*, if it is not the program."""
    names = sorted(_entries())
    close = difflib.get_close_matches(name.lower(), names, n=3)
    there = ", ".join(names) if names else "none"
    message = f"no backend {name!r}{by} is installed; there are: {there}."
    if close:
        message += f" Did you mean {' or '.join(close)}?"
    if name.isprintable() and name.replace("+", "").replace("-", "").isalnum():
        from .installing import is_installed, is_known, localized

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
    return _find(name)[0]


def _find(name: str) -> tuple[BackendSpec, str]:
    """`find_backend`, and where it comes from."""
    if not isinstance(name, str):
        raise TypeError(f"a backend's name is a string, not {name!r}")
    entries = _entries().get(name, [])
    if len(entries) > 1:
        owners = " and ".join(f"{_distribution(e)} ({e.value})" for e in entries)
        raise BackendLoadError(f"backend {name!r} is offered twice, by {owners}; uninstall one")
    if entries:
        plugin = _registry.load(entries[0])
        origin = f"distribution {_distribution(entries[0])}, entry point {entries[0].value!r}"
        key = f"{_distribution(entries[0])}:{entries[0].value}"
        specs = {spec.name: spec for spec in _registry.specs_of(plugin, key)}
    else:
        origin = "a plugin registered by this program"
        specs = _registry.specs()
        if name not in specs:
            raise _not_found(name)
    if name not in specs:
        failure = _registry.failure(key)
        raise BackendLoadError(
            f"backend {name!r} ({origin}) does not load: its plugin "
            + (f"failed: {type(failure).__name__}: {failure}" if failure else "offers none")
        ) from failure
    return specs[name], origin


def _import(spec: BackendSpec, origin: str, what: str) -> Any:
    """The object that *what*, ``"module:attribute"``, names."""
    try:
        module, _, attribute = what.partition(":")
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:
        from .installing import localized

        hint = f"; to install what is missing: {localized(spec.install)}" if spec.install else ""
        raise BackendLoadError(
            f"backend {spec.name!r} ({origin}) does not load: {type(error).__name__}: {error}{hint}"
        ) from error


def load_backend(name: str) -> type[Backend]:
    """The `Backend` subclass of that *name*, its framework imported.

    :raises BackendNotFound: see `find_backend`.
    :raises BackendLoadError: it is installed and does not load, or two distributions offer it.
    """
    from .backend import Backend

    spec, origin = _find(name)
    implementation = _import(spec, origin, spec.implementation)
    if not (isinstance(implementation, type) and issubclass(implementation, Backend)):
        raise BackendLoadError(
            f"backend {name!r} ({origin}) does not load: "
            f"{spec.implementation} is no halfclose.Backend"
        )
    return implementation


def load_kinds(name: str) -> tuple[Kind, ...]:
    """The kinds of channel on which the contract suite runs for the backend of that *name*.

    :raises BackendNotFound: see `find_backend`.
    :raises BackendLoadError: see `load_backend`; or what its `BackendSpec.kinds` names is no
        tuple of kinds.
    """
    spec, origin = _find(name)
    kinds = _import(spec, origin, spec.kinds)
    from .testing.channels.kinds import check_kinds

    try:
        return check_kinds(kinds)
    except TypeError as error:
        raise BackendLoadError(f"backend {name!r} ({origin}): {spec.kinds}: {error}") from error


def load_hosts(name: str) -> tuple[Host, ...]:
    """The hosts by which the contract suite can run the backend of that *name*.

    Without the one that all have, `halfclose.run`.

    :raises BackendNotFound: see `find_backend`.
    :raises BackendLoadError: see `load_backend`; or what its `BackendSpec.hosts` names is no
        tuple of hosts.
    """
    spec, origin = _find(name)
    hosts = _import(spec, origin, spec.hosts)
    from .testing.hosts import check_hosts

    try:
        return check_hosts(hosts)
    except TypeError as error:
        raise BackendLoadError(f"backend {name!r} ({origin}): {spec.hosts}: {error}") from error


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
    _registry.load_once()
    specs = sorted(_registry.specs().values(), key=lambda spec: (-spec.priority, spec.name))
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
    _registry.load_all()
    known = _registry.specs()
    specs = sorted(known.values(), key=lambda spec: (-spec.priority, spec.name))
    if running:
        for spec in specs:
            if _runs(spec):
                return spec.name
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        if chosen not in known and chosen not in _entries():
            # The program does not know what it asks for, nor does who reads this.
            raise _not_found(chosen, f", which {ENVIRONMENT} names,")
        return chosen
    automatic = [spec.name for spec in specs if spec.automatic]
    # One whose plugin is broken is chosen last: loading it says why.
    broken = sorted(set(_entries()) - set(known))
    for name in (*automatic, *broken):
        return name
    raise BackendNotFound(none_installed())
