"""Which kinds of endpoint there are, and which one a string or a value is of.

Core's own are registered here, as a plugin like others; the rest is loaded when a scheme is asked
for that is not known yet.
"""

from __future__ import annotations

import difflib
import re
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
    """The endpoint that *text* names; ``str(endpoint)`` gives it back.

    :raises EndpointError: *text* is no endpoint; the message says what is wrong with it. Or two
        plugins bring its scheme.
    """
    name, colon, rest = text.partition(":")
    # Without a colon it is no endpoint, also where the scheme exists.
    scheme = _schemes.find(name) if colon else None
    if scheme is None:
        raise _wrong(text, _unknown(name), _examples(known_schemes()))
    try:
        endpoint = scheme.parse(rest)
    except ValueError as error:
        raise _wrong(text, str(error), _examples([scheme])) from None
    if not isinstance(endpoint, Endpoint) or endpoint.scheme != name:
        raise TypeError(
            f"plugin {_schemes.owner(name)}: {name}: of {rest!r} is {endpoint!r}, "
            f"which is no endpoint of the scheme {name!r}"
        )
    return endpoint


def as_endpoint(value: str | Endpoint) -> Endpoint:
    """*value*, parsed if it is a string.

    :raises EndpointError: the string is malformed, or *value* is no endpoint.
    """
    if isinstance(value, str):
        return parse_endpoint(value)
    if isinstance(value, Endpoint):
        return value
    raise EndpointError(f"{value!r} is no endpoint; write it like {_examples(known_schemes())}")


def scheme_of(endpoint: Endpoint) -> Scheme[Any, Any]:
    """The scheme that *endpoint* is of.

    :raises EndpointError: no plugin brings it, or two do.
    """
    scheme = _schemes.find(endpoint.scheme)
    if scheme is None:
        what = _unknown(endpoint.scheme)
        raise EndpointError(f"endpoint {printable(str(endpoint))!r}: {what}")
    return scheme


def known_schemes() -> list[Scheme[Any, Any]]:
    """Every scheme of every plugin, core's first; one that two plugins bring is left out."""
    load_plugins()
    return _schemes.unique()


class _Schemes:
    """The schemes of the plugins that were loaded so far, looked at anew when there is another."""

    def __init__(self) -> None:
        self._hooks: tuple[Any, ...] | None = None
        self._brought: dict[str, list[tuple[str, Scheme[Any, Any]]]] = {}
        self._failures: dict[str, BaseException] = {}

    def find(self, name: str) -> Scheme[Any, Any] | None:
        """The scheme of that *name*; the plugins are loaded if it is not there yet.

        :raises EndpointError: two plugins bring it.
        """
        brought = self._look().get(name)
        if brought is None:
            load_plugins()
            brought = self._look().get(name, [])
        if len(brought) > 1:
            owners = " and ".join(owner for owner, _ in brought)
            raise EndpointError(
                f"the scheme {name!r} is brought twice, by the plugins {owners}; "
                "uninstall or unregister one"
            )
        return brought[0][1] if brought else None

    def owner(self, name: str) -> str:
        """The plugin that brings the scheme of that *name*."""
        return self._look()[name][0][0]

    def unique(self) -> list[Scheme[Any, Any]]:
        """The schemes that one plugin brings."""
        return [brought[0][1] for brought in self._look().values() if len(brought) == 1]

    def failures(self) -> dict[str, BaseException]:
        """What went wrong with the hooks of the plugins, by the plugin."""
        self._look()
        return self._failures

    def _look(self) -> dict[str, list[tuple[str, Scheme[Any, Any]]]]:
        hooks = registry.endpoints
        if hooks is not self._hooks:
            self._brought, self._failures = {}, {}
            for hook in hooks:
                owner = _owner(hook)
                try:
                    schemes = [_checked(scheme) for scheme in hook.function()]
                except (Exception, SystemExit) as error:
                    # Told when a scheme is missed; the others are as good as without this plugin.
                    self._failures[owner] = error
                    continue
                for scheme in schemes:
                    self._brought.setdefault(scheme.name, []).append((owner, scheme))
            self._hooks = hooks
        return self._brought


_schemes = _Schemes()


def _owner(hook: Any) -> str:
    """What to call the plugin that implements *hook*; one without a name has only a number."""
    plugin, name = hook.plugin, str(hook.plugin_name)
    return repr(plugin) if name == str(id(plugin)) else repr(name)


def _checked(scheme: object) -> Scheme[Any, Any]:
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


def _unknown(name: str) -> str:
    """What to say of a scheme that nobody brings."""
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
