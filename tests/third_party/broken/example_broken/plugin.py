"""Every backend of this package that has a plugin, by name; what each does is its docstring."""

from __future__ import annotations

from halfclose import BackendSpec, hookimpl

__all__ = ["halfclose_backends"]

_LANE = "halfclose.testing.channels.channel_types:CHANNEL_TYPES"

_CLASSES = {
    "hanging+after-main": "hanging:AfterMain",
    "hanging+in-callback": "hanging:InCallback",
    "hanging+in-resolve": "hanging:InResolve",
    "hanging+in-stop": "hanging:InStop",
    "hanging+no-timers": "hanging:NoTimers",
    "hanging+spins-in-resolve": "hanging:SpinsInResolve",
    "leaving+daemon-thread": "leaving:DaemonThread",
    "leaving+descriptor": "leaving:Descriptor",
    "leaving+signal-handler": "leaving:SignalHandler",
    "leaving+task": "leaving:Task",
    "leaving+thread": "leaving:Thread",
    "leaving+timer": "leaving:Timer",
    "loading+no-class": "loading:NOT_A_CLASS",
    "loading+no-module": "no_such_module:Backend",
    "loading+unfinished": "loading:Unfinished",
}

_LIES = (
    *("descriptors-off", "can_half_close-off", "can_half_close-on", "can_reset-off"),
    *("can_reset-on", "keeps_input-off", "keeps_input-on", "bounds_input-off", "bounds_input-on"),
    *("tells_cause-off", "tells_cause-on", "drains-off", "drains-on"),
)


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """See `loading`, `hanging`, `leaving` and `lying`."""
    plain = [
        BackendSpec(
            name,
            f"example_broken.{implementation}",
            install="pip install example-broken[more]",
            automatic=False,
        )
        for name, implementation in _CLASSES.items()
    ]
    bad_kinds = BackendSpec(
        "loading+no-channel types",
        "example_loop.backend:ExampleBackend",
        channel_types="example_broken.loading:CHANNEL_TYPES",
        automatic=False,
    )
    liars = [
        BackendSpec(
            f"lying+{lie}",
            f"example_broken.lying:{lie.replace('-', '_')}",
            channel_types=_LANE
            if lie == "descriptors-off"
            else "example_broken.lying:CHANNEL_TYPES",
            automatic=False,
        )
        for lie in _LIES
    ]
    return [*plain, bad_kinds, *liars]
