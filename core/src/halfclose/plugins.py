"""The plugins that are loaded, and the hooks that connections call.

Plugins are found by entry point: group ``halfclose`` where they bring a backend, and group
``halfclose.plugins`` where they bring none. The module that an entry point names is a
pluggy plugin (`hooks.HookSpecs`), and light: importing it imports no framework. Which of the
backends that plugins offer is meant, `discovery` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from .entrypoints import distribution_name, installed_plugins
from .hooks import GROUP, PLUGINS_GROUP, BackendSpec, HookSpecs
from .interfaces import BaseProtocol, Transport
from .reasons import BackendLoadError

__all__ = [
    "Hooks",
    "Registry",
    "distribution_of",
    "installed_entries",
    "key_of",
    "load_plugins",
    "register",
    "registry",
    "unregister",
]


def distribution_of(entry: EntryPoint) -> str:
    """The name of the distribution that *entry* comes from."""
    return distribution_name(entry.dist) if entry.dist is not None else "an unknown distribution"


def installed_entries() -> dict[str, list[EntryPoint]]:
    """The entry points of all that is installed, by name; nothing is imported."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in installed_plugins(GROUP):
        same = found.setdefault(entry.name, [])
        # One distribution can be on the path twice, as a checkout is beside its installation.
        if key_of(entry) not in map(key_of, same):
            same.append(entry)
    return found


def key_of(entry: EntryPoint) -> str:
    """The name by which the plugin of *entry* is registered, and its failure remembered."""
    return f"{distribution_of(entry)}:{entry.value}"


class Registry:
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
        # Who brings endpoints: another tuple whenever there is another plugin.
        self.endpoints: tuple[Any, ...] = ()

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
        self.endpoints = tuple(hook.halfclose_endpoints.get_hookimpls())

    def load(self, entry: EntryPoint) -> Any:
        """The plugin of *entry*, registered.

        :raises BackendLoadError: its module cannot be imported, now or when first tried.
        """
        key = key_of(entry)
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
                f"distribution {distribution_of(entry)} failed: {type(error).__name__}: {error}"
            ) from error
        return plugin

    def load_all(self) -> None:
        """Load every plugin; one that fails is remembered, and told when it is asked for."""
        of_backends = [entry for entries in installed_entries().values() for entry in entries]
        for entry in (*of_backends, *installed_plugins(PLUGINS_GROUP)):
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

    def failures(self) -> dict[str, BaseException]:
        """What the plugins failed with that did, by their keys."""
        return dict(self._failures)

    def specs(self) -> dict[str, BackendSpec]:
        """What the loaded plugins offer, by name."""
        found: dict[str, BackendSpec] = {}
        for name, plugin in self.manager.list_name_plugin():
            for spec in self.specs_of(plugin, name):
                found.setdefault(spec.name, spec)
        return found

    def specs_of(self, plugin: Any, name: str) -> list[BackendSpec]:
        """What *plugin* offers; nothing where its hook fails, which `failure` tells of *name*."""
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


registry = Registry()
"""That of this process."""


def register(plugin: Any, name: str | None = None) -> None:
    """Add a plugin that no entry point names, such as a program's own metrics.

    :param plugin: a module or object with functions marked by `halfclose.hookimpl`.
    :raises ValueError: it, or another of that *name*, is registered already.
    """
    registry.register(plugin, name)


def unregister(plugin: Any) -> None:
    """Take back `register`.

    :raises ValueError: it is not registered.
    """
    if not registry.manager.is_registered(plugin):
        raise ValueError(f"plugin {plugin!r} is not registered")
    registry.unregister(plugin)


def load_plugins() -> None:
    """Load every plugin, once in this process; a broken one is told of when it is asked for."""
    registry.load_once()


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
        if registry.made:
            self._call(registry.made, transport=transport, protocol=protocol)

    def half_closed(self, transport: Transport, side: str) -> None:
        """One half has ended, "read" or "write"."""
        if registry.half_closed:
            self._call(registry.half_closed, transport=transport, side=side)

    def connection_lost(self, transport: Transport, reason: BaseException) -> None:
        """``connectionLost`` has returned."""
        if registry.lost:
            self._call(registry.lost, transport=transport, reason=reason)
