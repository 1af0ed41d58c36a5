"""Finds the scheme of an endpoint, and parses endpoints.

Core's own schemes come from a plugin as any others do. That plugin is registered here, so they are
known at once. The other plugins are loaded when somebody asks for a scheme that is not known yet.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Iterable
from typing import Any

from .endpoints import Endpoint
from .io import plugin as core_plugin
from .plugins import load_plugins, register, registry
from .reasons import EndpointError
from .scheme import Scheme
from .text import listed, printable

__all__ = ["as_endpoint", "known_schemes", "parse_endpoint", "scheme_of"]

_NAME = re.compile(r"[a-z][a-z0-9+.-]*")

register(core_plugin, "halfclose")


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint that *text* names. To parse ``str(endpoint)`` gives an equal endpoint.

    :param text: the endpoint as a string, such as ``"tcp:[::1]:80"``.
    :raises EndpointError: *text* is no endpoint, and the message says what is wrong with it; or two
        plugins bring its scheme, or the plugin that brings it is broken: it raises something else
        than a ValueError, or gives something that is no endpoint of the scheme.
    """
    name, colon, rest = text.partition(":")
    # A text without a colon is no endpoint, even if it is a scheme's name.
    scheme = _schemes.find(name) if colon else None
    if scheme is None:
        raise _wrong(text, _unknown(name), _examples(known_schemes()))
    try:
        endpoint: Endpoint = scheme.parse(rest)
        right = isinstance(endpoint, Endpoint) and endpoint.scheme == name
    except ValueError as error:
        raise _wrong(text, printable(str(error)) or "malformed", _examples([scheme])) from None
    except Exception as error:
        failure = f"{type(error).__name__}: {printable(str(error))}"
        raise _broken(text, _schemes.owner(name), f"failed: {failure}") from error
    if not right:
        what = f"gave {endpoint!r}, which is no endpoint of the scheme {name!r}"
        raise _broken(text, _schemes.owner(name), what)
    return endpoint


def as_endpoint(value: str | Endpoint) -> Endpoint:
    """*value* if it is an endpoint, or the endpoint that it names if it is a string.

    :param value: an endpoint, or one as a string.
    :raises EndpointError: the string is malformed, or *value* is neither; see `parse_endpoint`.
    """
    if isinstance(value, str):
        return parse_endpoint(value)
    if isinstance(value, Endpoint):
        return value
    raise EndpointError(f"{value!r} is no endpoint; write it like {_examples(known_schemes())}")


def scheme_of(endpoint: Endpoint) -> Scheme[Any, Any]:
    """The scheme of *endpoint*.

    :raises EndpointError: no plugin brings its scheme, or two plugins do.
    """
    scheme = _schemes.find(endpoint.scheme)
    if scheme is None:
        what = _unknown(endpoint.scheme)
        raise EndpointError(f"endpoint {printable(str(endpoint))!r}: {what}")
    return scheme


def known_schemes() -> list[Scheme[Any, Any]]:
    """The schemes of all plugins, core's first, without those that two plugins bring."""
    load_plugins()
    return _schemes.unique()


class _Found:
    """What *hooks*, the hooks of all plugins, have given."""

    def __init__(self, hooks: tuple[Any, ...]) -> None:
        self.hooks = hooks
        self.brought: dict[str, list[tuple[str, Scheme[Any, Any]]]] = {}
        """The schemes by name, each with its plugin."""
        self.failures: dict[str, BaseException] = {}
        """The exceptions of the hooks that failed, by the names of the plugins."""


def _ask(found: _Found) -> None:
    """Call the hooks of *found*, and add the schemes that they give."""
    for hook in found.hooks:
        owner = _owner(hook)
        try:
            schemes = [_checked(scheme) for scheme in hook.function()]
        except (Exception, SystemExit) as error:
            # Reported when somebody asks for a scheme that is missing. The schemes of other
            # plugins can be used meanwhile.
            found.failures[owner] = error
            continue
        for scheme in schemes:
            found.brought.setdefault(scheme.name, []).append((owner, scheme))


class _Schemes:
    """The schemes of the plugins that are registered now."""

    def __init__(self) -> None:
        self._found = _Found(())
        self._asking = threading.local()

    def find(self, name: str) -> Scheme[Any, Any] | None:
        """The scheme called *name*; None if no plugin brings it.

        If the scheme is not known yet, this loads all plugins first.

        :raises EndpointError: two plugins bring the scheme.
        """
        brought = self._look().brought.get(name)
        if brought is None:
            load_plugins()
            brought = self._look().brought.get(name, [])
        if len(brought) > 1:
            owners = " and ".join(owner for owner, _ in brought)
            raise EndpointError(
                f"the scheme {name!r} is brought twice, by the plugins {owners}; "
                "uninstall or unregister one"
            )
        return brought[0][1] if brought else None

    def owner(self, name: str) -> str:
        """The name of the plugin that brings the scheme called *name*."""
        return self._look().brought[name][0][0]

    def unique(self) -> list[Scheme[Any, Any]]:
        """The schemes that exactly one plugin brings."""
        found = self._look().brought.values()
        return [brought[0][1] for brought in found if len(brought) == 1]

    def failures(self) -> dict[str, BaseException]:
        """The exceptions of the plugins whose hook failed, by the plugins' names."""
        return self._look().failures

    def _look(self) -> _Found:
        """What the hooks give, asked anew if the plugins have changed."""
        unfinished: _Found | None = getattr(self._asking, "found", None)
        if unfinished is not None:
            # A hook asks for a scheme. It gets those of the hooks before it.
            return unfinished
        found, hooks = self._found, registry.endpoints
        if hooks is not found.hooks:
            # Threads may come here at the same time. Each builds an object of its own, and the
            # other threads see that object when it is whole.
            self._asking.found = found = _Found(hooks)
            try:
                _ask(found)
            finally:
                self._asking.found = None
            self._found = found
        return found


_schemes = _Schemes()


def _owner(hook: Any) -> str:
    """The name of the plugin that implements *hook*, for messages.

    pluggy calls a plugin without a name by a number, which tells a reader nothing. Then this is the
    plugin's repr.
    """
    plugin, name = hook.plugin, str(hook.plugin_name)
    return repr(plugin) if name == str(id(plugin)) else repr(name)


def _checked(scheme: object) -> Scheme[Any, Any]:
    """*scheme*, which a plugin has given, if it is a scheme with a valid name and examples.

    :raises TypeError: *scheme* is no scheme, or its examples are no tuple or an empty one.
    :raises ValueError: its name is no valid name, or an example does not begin with the name.
    """
    if not isinstance(scheme, Scheme):
        raise TypeError(f"{scheme!r} is no halfclose.Scheme")
    name: object = scheme.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} can be no scheme's name")
    examples: object = scheme.examples
    if not isinstance(examples, tuple) or not examples:
        raise TypeError(f"the examples of {name!r} are no tuple of at least one: {examples!r}")
    if not all(str(example).startswith(f"{name}:") for example in examples):
        raise ValueError(f"the examples {examples!r} are no endpoints of {name!r}")
    return scheme


def _wrong(text: str, what: str, examples: str) -> EndpointError:
    return EndpointError(f"endpoint {text!r}: {what}; write it like {examples}")


def _broken(text: str, plugin: str, what: str) -> EndpointError:
    return EndpointError(f"endpoint {text!r}: plugin {plugin} {what}")


def _unknown(name: str) -> str:
    """The message for a scheme that no plugin brings, with similar names and failed plugins."""
    names = sorted(scheme.name for scheme in known_schemes())
    close = difflib.get_close_matches(name.lower(), names, n=2)
    message = f"no kind of endpoint is called {name!r}"
    message += f" (did you mean {listed(f'{each}:' for each in close)}?)" if close else ""
    message += f", there are {listed((f'{each}:' for each in names), 'and')}"
    loading = {repr(key): error for key, error in registry.failures().items()}
    for plugin, error in (loading | _schemes.failures()).items():
        message += f"; plugin {plugin} failed: {type(error).__name__}: {printable(str(error))}"
    return message


def _examples(schemes: Iterable[Scheme[Any, Any]]) -> str:
    return listed(example for scheme in schemes for example in scheme.examples)
