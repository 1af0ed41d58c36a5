"""Checks of what a host raises when an exception that it runs into ends the program."""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...backend import Backend
from ..hosts import Host

__all__ = ["check_fatal_told", "raised_by"]


def raised_by(
    host: Host,
    main: Callable[[Backend], Awaitable[object]],
    backend: str,
    options: Mapping[str, Any] | None = None,
) -> BaseException:
    """Have *host* run *main*, and give what it raises.

    :raises AssertionError: it raises nothing.
    """
    try:
        host.run(main, backend, options)
    except BaseException as error:
        # If the loop was stopped, *main* was never resumed, and is finalized here.
        gc.collect()
        return error
    raise AssertionError(f"{host.name} returned, and was to raise")


def check_fatal_told(
    host: Host, error: BaseException, raised: BaseException, records: list[logging.LogRecord]
) -> None:
    """Fail unless the host treated *error*, which was given to ``Backend.fatal``, as it has to.

    It has to raise *error* itself, and log nothing. But a host whose loop cannot be told to raise
    (see `Host.brings_fatal`) has to log *error* as critical and raise RuntimeError.

    :param raised: what the host raised.
    :param records: what was logged.
    """
    if host.brings_fatal:
        if raised is not error:
            raise AssertionError(f"{host.name} raised {raised!r}, and not {error!r}") from raised
        assert not records, [record.getMessage() for record in records]
        return
    if type(raised) is not RuntimeError:
        raise AssertionError(f"the loop was not stopped: {host.name} raised {raised!r}") from raised
    of_it = [record for record in records if record.exc_info and record.exc_info[1] is error]
    assert [record.levelname for record in of_it] == ["CRITICAL"], f"{error!r}: {of_it}"
    others = [record for record in records if record.levelno == logging.ERROR]
    assert not others, f"and {[record.getMessage() for record in others]} beside {error!r}"
