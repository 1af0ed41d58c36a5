"""Loads plugins, and calls the hooks that listen to connections.

Plugins are found by their entry points: in the group ``halfclose`` if they bring a backend, else in
the group ``halfclose.plugins``. The module that an entry point names is a pluggy plugin, which
implements some of `hooks.HookSpecs`; importing it must import no framework. `discovery` chooses
among the backends that the plugins offer.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from .entrypoints import distribution_name, installed_plugins
from .hooks import GROUP, PLUGINS_GROUP, BackendSpec, HookSpecs
from .interfaces import BaseProtocol, Transport
from .reasons import BackendLoadError
from .text import one_line, said

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

_log = logging.getLogger("halfclose")


def distribution_of(entry: EntryPoint) -> str:
    """The name of the distribution that *entry* comes from."""
    return distribution_name(entry.dist) if entry.dist is not None else "an unknown distribution"


def installed_entries() -> dict[str, list[EntryPoint]]:
    """The entry points of the installed backends, by name. Nothing is imported."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in installed_plugins(GROUP):
        same = found.setdefault(entry.name, [])
        # One distribution can be on the path twice, for example a checkout and its installation.
        if key_of(entry) not in map(key_of, same):
            same.append(entry)
    return found


def key_of(entry: EntryPoint) -> str:
    """The name under which the plugin of *entry* is registered, or its failure is kept."""
    return f"{distribution_of(entry)}:{entry.value}"


class Registry:
    """The plugins that were loaded in this process, and the failures of those that were not."""

    def __init__(self) -> None:
        self.manager: pluggy.PluginManager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(HookSpecs)
        self._failures: dict[str, BaseException] = {}
        self._loaded = False
        self._told = False
        self._loading = threading.local()
        # Held while a plugin is registered, and never while a plugin is imported: two threads that
        # import modules would wait for each other.
        self._lock = threading.RLock()
        # The implementations of each hook. They change only when a plugin is added or taken away,
        # and every connection needs them, so pluggy is not asked each time.
        self.made: tuple[Any, ...] = ()
        self.half_closed: tuple[Any, ...] = ()
        self.lost: tuple[Any, ...] = ()
        # A new tuple each time that a plugin is added or taken away, by which `scheme_registry`
        # sees that its list of schemes is out of date.
        self.endpoints: tuple[Any, ...] = ()

    def register(self, plugin: Any, name: str | None) -> None:
        """Add *plugin*.

        :param name: None lets pluggy choose a name.
        :raises ValueError: *plugin*, or another of that *name*, is registered already.
        """
        with self._lock:
            self.manager.register(plugin, name)
            self._look_who_listens()

    def unregister(self, plugin: Any) -> None:
        """Take *plugin* away, so that its hooks are no longer called."""
        with self._lock:
            self.manager.unregister(plugin)
            self._look_who_listens()

    def forked(self) -> None:
        """Forget, in a forked child, a lock that a thread of the parent may have held."""
        self._lock = threading.RLock()

    def _look_who_listens(self) -> None:
        """Ask pluggy anew for the implementations of each hook."""
        hook = self.manager.hook
        # Reversed, since pluggy calls the plugin first that was registered last.
        self.made = tuple(reversed(hook.halfclose_connection_made.get_hookimpls()))
        self.half_closed = tuple(reversed(hook.halfclose_half_closed.get_hookimpls()))
        self.lost = tuple(reversed(hook.halfclose_connection_lost.get_hookimpls()))
        self.endpoints = tuple(hook.halfclose_endpoints.get_hookimpls())

    def load(self, entry: EntryPoint) -> Any:
        """Load the plugin of *entry*, register it, and give it.

        A plugin that failed once is not tried again.

        :raises BackendLoadError: the plugin's module cannot be imported, or could not be when it
            was tried first.
        """
        key = key_of(entry)
        plugin = self.manager.get_plugin(key)
        if plugin is not None:
            return plugin
        try:
            if key in self._failures:
                raise self._failures[key]
            plugin = entry.load()
            with self._lock:
                if not self.manager.is_registered(plugin):
                    self.register(plugin, key)
        except (Exception, SystemExit) as error:
            self._failures[key] = error
            what = "plugin" if entry.group == PLUGINS_GROUP else "backend"
            raise BackendLoadError(
                f"{what} {entry.name!r} does not load: entry point {entry.value!r} of "
                f"distribution {distribution_of(entry)} failed: {type(error).__name__}: "
                f"{said(error)}"
            ) from error
        return plugin

    def load_all(self) -> None:
        """Load every plugin. Failures are kept, for the time when somebody wants that plugin.

        Nobody ever asks for a plugin that brings no backend, so its failure is logged: without its
        hooks, a program would go on and count or log nothing.
        """
        for entries in installed_entries().values():
            for entry in entries:
                try:
                    self.load(entry)
                except BackendLoadError:
                    pass
        broken = self.broken_plugins()
        if not self._told:
            for error in broken:
                _log.warning("%s", one_line(error))
        self._told = True

    def broken_plugins(self) -> list[BackendLoadError]:
        """Load every plugin that brings no backend, and give the errors of those that fail."""
        found = []
        for entry in installed_plugins(PLUGINS_GROUP):
            try:
                self.load(entry)
            except BackendLoadError as error:
                found.append(error)
        return found

    def load_once(self) -> None:
        """Call `load_all` unless this process has done so already.

        Backends call this, and some programs open a backend for each stream. If another thread has
        begun to load the plugins, this loads them too, since it must not return before all are
        there. If a plugin's own module calls this while it is loaded, this returns at once.
        """
        if self._loaded or getattr(self._loading, "here", False):
            return
        self._loading.here = True
        try:
            self.load_all()
            self._loaded = True
        finally:
            self._loading.here = False

    def failure(self, key: str) -> BaseException | None:
        """The exception with which the plugin of that key failed; None if it has not failed."""
        return self._failures.get(key)

    def failures(self) -> dict[str, BaseException]:
        """The exceptions of all plugins that failed, by the keys of the plugins."""
        return dict(self._failures)

    def specs(self) -> dict[str, BackendSpec]:
        """The backends that the loaded plugins offer, by the backends' names."""
        found: dict[str, BackendSpec] = {}
        for name, plugin in self.manager.list_name_plugin():
            for spec in self.specs_of(plugin, name):
                found.setdefault(spec.name, spec)
        return found

    def specs_of(self, plugin: Any, name: str) -> list[BackendSpec]:
        """The backends that *plugin* offers.

        If the plugin's hook fails, there are none, and `failure` of *name* gives the exception.
        """
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


registry: Registry = Registry()
"""The one registry of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.forked)


def register(plugin: Any, name: str | None = None) -> None:
    """Add a plugin that no entry point names, such as a program's own metrics.

    Connections that are open already call its hooks too.

    :param plugin: a module or object with functions marked by `halfclose.hookimpl`.
    :param name: what log messages call it; None lets pluggy choose a name.
    :raises ValueError: *plugin*, or another of that *name*, is registered already.
    """
    registry.register(plugin, name)


def unregister(plugin: Any) -> None:
    """Take a plugin away that was registered. Its hooks are no longer called.

    :param plugin: what `register` was given.
    :raises ValueError: *plugin* is not registered.
    """
    if not registry.manager.is_registered(plugin):
        raise ValueError(f"plugin {plugin!r} is not registered")
    registry.unregister(plugin)


def load_plugins() -> None:
    """Load every installed plugin. Idempotent.

    A plugin that fails is reported when something that it offers is asked for.
    """
    registry.load_once()


class Hooks:
    """Calls the hooks that listen to connections.

    An exception of one plugin is logged; the connection and the other plugins go on.

    :param fatal: gets KeyboardInterrupt and SystemExit, which end the program.
    :param report: logs any other exception.
    """

    def __init__(self, fatal: Callable[[BaseException], None], report: Callable[..., None]) -> None:
        self._fatal = fatal
        self._report = report
        load_plugins()

    def _call(self, listening: tuple[Any, ...], **arguments: object) -> None:
        """Call the implementations *listening* of one hook, whatever each of them raises."""
        # Not by pluggy itself, which would stop at the first plugin that raises.
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
        """Tell the plugins that ``connectionMade`` has returned."""
        if registry.made:
            self._call(registry.made, transport=transport, protocol=protocol)

    def half_closed(self, transport: Transport, side: str) -> None:
        """Tell the plugins that a half has ended: *side* is "read" or "write"."""
        if registry.half_closed:
            self._call(registry.half_closed, transport=transport, side=side)

    def connection_lost(self, transport: Transport, reason: BaseException) -> None:
        """Tell the plugins that ``connectionLost`` has returned."""
        if registry.lost:
            self._call(registry.lost, transport=transport, reason=reason)
