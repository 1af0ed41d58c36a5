"""Hosts: who starts the event loop in which a rule is tried."""

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
"""What a host runs."""


class Host(ABC):
    """One way in which a program starts the loop that a backend is then opened in.

    By default the suite's rules run under `halfclose.run`. A program that is there already starts
    its framework itself and calls `halfclose.open_backend`; then nothing that `run` sets up is
    there, and what runs beside the backend is the program's own. To have the rules run so too,
    derive from this, write `run`, and name it in `halfclose.BackendSpec.hosts`.
    """

    name: ClassVar[str]
    """What the suite's ``host`` and the run's report call it, such as ``"asyncio.run"``."""
    channel_types: ClassVar[tuple[str, ...] | None] = ("tcp", "native-tcp")
    """Names of the types of channel on which rules run there; None: on all.

    Who started the loop decides where calls and tasks come from. How bytes move on a pipe is the
    same, and was seen under `halfclose.run`.
    """
    brings_fatal: ClassVar[bool] = True
    """Whether KeyboardInterrupt or SystemExit in an event comes out of `run` (rule ERR-05).

    Where no loop can be told to raise, it is logged, and the loop stopped: `run` then raises
    RuntimeError.
    """

    @abstractmethod
    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        """Start the framework, run ``main(backend)`` in a backend opened there, end it.

        May be called again, as often as you like, and leaves nothing behind.

        :param backend: the name of the backend.
        :param options: the backend's.
        :returns: what *main* returned.
        :raises BaseException: whatever *main* raised, bare.
        """

    async def run_program(
        self, main: Main[object], backend: Backend, options: Mapping[str, Any]
    ) -> BaseException | None:
        """Run ``main(backend)`` as a program of its own, while the test goes on.

        By default it is `run` in a thread. Where a process can have one loop only, override it,
        with `run_beside`.

        :param backend: the one in whose loop the test waits for it.
        :param options: of the program's own backend.
        :returns: what the program raised.
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
        """What `run` has the framework run: ``main(backend)``, in a backend that is opened."""
        async with open_backend(backend, options) as opened:
            return await main(opened)

    async def run_beside(
        self, main: Main[object], backend: Backend, options: Mapping[str, Any]
    ) -> BaseException | None:
        """`run_program`, in the test's own loop: a second backend is opened in it."""
        try:
            await self.open_and_run(main, backend.name, options)
        except Exception as error:
            # Anything else ends the test, and not the program alone.
            return error
        return None


class HalfcloseRun(Host):
    """`halfclose.run`."""

    name = "halfclose.run"
    channel_types = None

    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        return run(main, backend=backend, options=options)


HALFCLOSE_RUN: Host = HalfcloseRun()
"""The host of every backend, of which nobody need tell."""

HOSTS: tuple[Host, ...] = ()
"""The hosts beside it, where a backend names none: see `halfclose.BackendSpec`."""


def check_hosts(hosts: Any) -> tuple[Host, ...]:
    """*hosts*, if it is a tuple of hosts, each with its own name.

    :raises TypeError: it is not.
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
    """The hosts by which the contract suite can run the backend of that name.

    Without the one that all have, `halfclose.run`.

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
    """The one of *hosts*, or the default, that is called *name*.

    :raises LookupError: none is; the message has the names that there are.
    """
    known = {host.name: host for host in (HALFCLOSE_RUN, *hosts)}
    if name not in known:
        raise LookupError(f"there is no host {name!r}; there are: {', '.join(known)}")
    return known[name]
