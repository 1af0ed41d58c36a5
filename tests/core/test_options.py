"""What may be asked of a connection and of a backend, and what may not."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import halfclose
import pytest
from core.support import ANYIO, TWISTED, VARIANTS, run
from halfclose import HIGH_WATER, LINGER_TIMEOUT, LOW_WATER, ConnectionOptions

TIMEOUTS = ("linger_timeout", "close_timeout", "half_close_timeout")


def options(name: str, value: Any) -> ConnectionOptions:
    return ConnectionOptions(**{name: value})


def test_the_defaults() -> None:
    made = ConnectionOptions()
    assert made.linger_timeout == LINGER_TIMEOUT == 5
    assert made.close_timeout is None
    assert made.half_close_timeout is None
    assert (made.high_water, made.low_water) == (HIGH_WATER, LOW_WATER)
    assert 0 < LOW_WATER < HIGH_WATER
    assert made.unix_mode == 0o600


def test_options_are_frozen_values() -> None:
    assert ConnectionOptions() == ConnectionOptions()
    assert hash(ConnectionOptions()) == hash(ConnectionOptions())
    with pytest.raises(dataclasses.FrozenInstanceError):
        ConnectionOptions().linger_timeout = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", TIMEOUTS)
@pytest.mark.parametrize("value", [0, 0.0, 1, 1.5, math.inf, 1e-9])
def test_a_timeout_may_be(name: str, value: float) -> None:
    assert getattr(options(name, value), name) == value


@pytest.mark.parametrize("name", TIMEOUTS)
@pytest.mark.parametrize("value", [-1, -0.001, -math.inf, math.nan])
def test_a_timeout_may_not_be_negative_or_no_number(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        options(name, value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", TIMEOUTS)
@pytest.mark.parametrize("value", ["5", True, b"1", [], {}], ids=repr)
def test_a_timeout_is_a_number(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name):
        options(name, value)


def test_linger_timeout_is_never_none() -> None:
    with pytest.raises(TypeError, match="linger_timeout"):
        ConnectionOptions(linger_timeout=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("high", "low"), [(1, 0), (2, 1), (10**9, 10**9 - 1)])
def test_marks_may_be(high: int, low: int) -> None:
    made = ConnectionOptions(high_water=high, low_water=low)
    assert (made.high_water, made.low_water) == (high, low)


@pytest.mark.parametrize(
    ("high", "low"), [(0, 0), (1, 1), (1, 2), (10, -1), (-1, -2), (0, -1), (LOW_WATER, LOW_WATER)]
)
def test_marks_out_of_order(high: int, low: int) -> None:
    with pytest.raises(ValueError, match="low_water"):
        ConnectionOptions(high_water=high, low_water=low)


@pytest.mark.parametrize("mode", [-1, 0o1000, 0o1777, 10**6])
def test_a_mode_out_of_range(mode: int) -> None:
    with pytest.raises(ValueError, match="unix_mode"):
        ConnectionOptions(unix_mode=mode)


@pytest.mark.parametrize("mode", [0, 0o600, 0o666, 0o777])
def test_a_mode_may_be(mode: int) -> None:
    assert ConnectionOptions(unix_mode=mode).unix_mode == mode


async def nothing(backend: halfclose.Backend) -> str:
    return backend.name


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_unknown_backend_option(variant: str) -> None:
    with pytest.raises(TypeError, match="socket") as caught:
        halfclose.run(nothing, backend=variant, options={"socket": "poller"})
    message = str(caught.value)
    assert variant in message
    assert "grace" in message
    assert "sockets" in message
    with pytest.raises(TypeError, match="nonsense"):
        halfclose.open_backend(variant, {"nonsense": 1})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("value", ["", "Poller", "fast", 1, True], ids=repr)
def test_a_bad_sockets_option(variant: str, value: object) -> None:
    with pytest.raises(ValueError, match="sockets") as caught:
        halfclose.run(nothing, backend=variant, options={"sockets": value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("option", ["grace", "busy_poll"])
@pytest.mark.parametrize("value", [-1, math.nan, -math.inf])
def test_bad_seconds(variant: str, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        halfclose.run(nothing, backend=variant, options={option: value})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("option", ["grace", "busy_poll"])
@pytest.mark.parametrize("value", ["5", None, True], ids=repr)
def test_seconds_are_a_number(variant: str, option: str, value: object) -> None:
    with pytest.raises(TypeError, match=option):
        halfclose.run(nothing, backend=variant, options={option: value})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("options", [{}, None, {"grace": 0}, {"sockets": None}, {"busy_poll": 0}])
def test_options_that_may_be(variant: str, options: dict[str, Any] | None) -> None:
    assert run(nothing, variant=variant, options=options) == variant


@pytest.mark.parametrize("variant", ANYIO)
def test_another_backends_option_is_unknown(variant: str) -> None:
    with pytest.raises(TypeError, match="reactor"):
        halfclose.open_backend(variant, {"reactor": object()})


@pytest.mark.parametrize("variant", TWISTED)
def test_the_reactor_option_is_twisteds(variant: str) -> None:
    reactor = object()
    assert halfclose.open_backend(variant, {"reactor": reactor}).options["reactor"] is reactor


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_callers_mapping_is_copied(variant: str) -> None:
    given = {"grace": 1.0}
    backend = halfclose.open_backend(variant, given)
    given["nonsense"] = 2.0
    assert backend.options == {"grace": 1.0}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("timeout", [-1, math.nan])
def test_a_bad_connect_timeout(variant: str, timeout: float) -> None:
    async def main(backend: halfclose.Backend) -> None:
        with pytest.raises(ValueError, match="timeout"):
            await backend.connect("tcp:127.0.0.1:1", halfclose.Protocol, timeout)

    run(main, variant=variant)
