"""Hosts: the ways to start the event loop in which a rule is tried."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeVar

from ..backend import Backend
from ..discovery import locate
from ..reasons import BackendLoadError
from ..running import open_backend, run
from .channels.threads import in_thread

__all__ = ["HALFCLOSE_RUN", "HOSTS", "Host", "check_hosts", "find_host", "load_hosts"]

T = TypeVar("T")

Main = Callable[[Backend], Awaitable[T]]
"""The asynchronous function that a host runs, with an open backend as its argument."""


class Host(ABC):
    """One way in which a program starts the event loop, and then opens a backend in that loop.

    By default the suite's rules run under `halfclose.run`. But an existing program often starts its
    framework itself and then calls `halfclose.open_backend`. In such a loop `run` has set up
    nothing, and the program's own tasks run beside the backend. To run the rules in such a loop
    too, derive a class from this one, write its `run`, and name an instance in
    `halfclose.BackendSpec.hosts`.
    """

    name: ClassVar[str]
    """The host's name in the suite's ``host`` and in reports, such as ``"asyncio.run"``."""
    channel_types: ClassVar[tuple[str, ...] | None] = ("tcp", "native-tcp")
    """Names of the channel types on which rules run under this host; None: on all.

    Few are enough: the host decides where calls and tasks come from, but not how bytes move on a
    pipe, which the rules have seen under `halfclose.run`.
    """
    brings_fatal: ClassVar[bool] = True
    """Whether `run` raises a KeyboardInterrupt or SystemExit that an event raised (rule ERR-05).

    Some loops cannot be told to raise it. There it is logged and the loop is stopped, and `run`
    raises RuntimeError.
    """

    @abstractmethod
    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        """Start the framework, run ``main(backend)`` in a backend opened there, end the framework.

        It may be called any number of times, and leaves nothing behind.

        :param main: the asynchronous function to run.
        :param backend: the name of the backend.
        :param options: options of the backend.
        :returns: what *main* returned.
        :raises BaseException: whatever *main* raised, not wrapped in a group.
        """

    async def run_program(
        self, main: Main[object], backend: Backend, options: Mapping[str, Any]
    ) -> BaseException | None:
        """Run ``main(backend)`` as a second program, while the test goes on.

        By default this calls `run` in a thread. A framework that can have only one loop in a
        process overrides this method and calls `run_beside`.

        :param main: the program, an asynchronous function.
        :param backend: the test's backend, in whose loop the test waits for the program.
        :param options: options of the program's own backend.
        :returns: what the program raised; None: nothing.
        """

        def program() -> BaseException | None:
            try:
                self.run(main, backend.name, options)
            except BaseException as error:
                return error
            return None

        return await in_thread(backend, program)

    @staticmethod
    async def open_and_run(
        main: Main[T], backend: str, options: Mapping[str, Any] | None = None
    ) -> T:
        """Open the backend and run ``main(backend)`` in it: `run` has the framework run this.

        :param main: the asynchronous function to run.
        :param backend: the name of the backend.
        :param options: options of the backend.
        """
        async with open_backend(backend, options) as opened:
            return await main(opened)

    async def run_beside(
        self, main: Main[object], backend: Backend, options: Mapping[str, Any]
    ) -> BaseException | None:
        """Do what `run_program` does, with a second backend that is opened in the test's own loop.

        :param main: the program, an asynchronous function.
        :param backend: the test's backend.
        :param options: options of the program's own backend.
        :returns: the Exception that the program raised; None: nothing.
        """
        try:
            await self.open_and_run(main, backend.name, options)
        except Exception as error:
            # Any other BaseException, such as a cancellation, ends the test too.
            return error
        return None


class HalfcloseRun(Host):
    """The host that starts the framework by `halfclose.run`."""

    name = "halfclose.run"
    channel_types: ClassVar[tuple[str, ...] | None] = None

    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        return run(main, backend=backend, options=options)


HALFCLOSE_RUN: Host = HalfcloseRun()
"""The host that every backend has without naming it."""

HOSTS: tuple[Host, ...] = ()
"""The further hosts of a backend that names none; see `halfclose.BackendSpec`."""


def check_hosts(hosts: Any) -> tuple[Host, ...]:
    """Return *hosts* if it is a tuple of hosts with different names.

    :raises TypeError: it is not a tuple, an item is no host, or a name is missing or used twice.
    """
    if not isinstance(hosts, tuple):
        raise TypeError(f"{hosts!r} is no tuple of halfclose.testing.Host")
    names = {HALFCLOSE_RUN.name}
    for host in hosts:
        if not isinstance(host, Host):
            raise TypeError(f"{host!r} is no halfclose.testing.Host")
        name = getattr(host, "name", None)
        if not isinstance(name, str):
            raise TypeError(f"{host!r} has the name {name!r}; a name is a string")
        if name in names:
            raise TypeError(f"two hosts are called {name!r}")
        names.add(name)
    return hosts


def load_hosts(backend: str) -> tuple[Host, ...]:
    """The hosts that a backend names, without `halfclose.run`, which every backend has.

    :param backend: the name of the backend.
    :raises BackendNotFound: see `halfclose.find_backend`.
    :raises BackendLoadError: see `halfclose.load_backend`; or what its `BackendSpec.hosts` names
        is no tuple of hosts.
    """
    located = locate(backend)
    where = located.spec.hosts
    hosts = located.load(where)
    try:
        return check_hosts(hosts)
    except TypeError as error:
        raise BackendLoadError(
            f"backend {backend!r} ({located.origin}): {where}: {error}"
        ) from error


def find_host(hosts: tuple[Host, ...], name: str) -> Host:
    """The host called *name*, among *hosts* and `halfclose.run`.

    :raises LookupError: no host is called so; the message lists the names.
    """
    known = {host.name: host for host in (HALFCLOSE_RUN, *hosts)}
    if name not in known:
        raise LookupError(f"there is no host {name!r}; there are: {', '.join(known)}")
    return known[name]
