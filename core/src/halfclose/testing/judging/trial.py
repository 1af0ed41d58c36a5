"""Holds a backend to one rule, in this process, and says what was seen if it breaks it."""

from __future__ import annotations

import gc
import inspect
import logging
import time
import traceback
from typing import Any

from ...backend import Backend
from ...channel import Capabilities
from ...discovery import load_backend
from ...options import ConnectionOptions
from ..channels.channel_types import ChannelType
from ..hosts import Host
from ..tools.harness import Net, Rule
from ..tools.recorder import Recorder
from .isolation import Died
from .leaks import Footprint, unheard
from .verdict import Verdict

__all__ = ["Trial"]

_TIMES = 6
"""How often a rule is run that keeps something: what is kept for the next time does not grow."""

_LOG_LINES = 30
"""How much of the log a report shows."""


class Trial:
    """See `Case` for the parameters."""

    def __init__(
        self,
        suite: Any,
        backend: str,
        channel_type: ChannelType,
        host: Host,
        rule: Rule | None = None,
    ) -> None:
        self._suite = suite
        self._backend = backend
        self._channel_type = channel_type
        self._host = host
        self._rule = rule
        self._nets: list[Net] = []
        self._seen = ""

    def run(self) -> Verdict:
        """Hold the backend to the rule, for ever if it comes to that."""
        assert self._rule is not None
        begun = time.monotonic()
        what, report = "", ""
        log = _Log()
        root = logging.getLogger()
        # Others are the test runner's, and keep the errors that they are given, with all that hangs
        # on their frames.
        others, root.handlers = root.handlers, [log]
        try:
            self.hold()
        except BaseException as error:
            what = _one_line(error)
            parts = "".join(traceback.format_exception(error)), self.about(), log.shown()
            report = "\n".join(part for part in parts if part)
        finally:
            root.handlers = others
        return Verdict(
            rule=self._rule.identifier,
            backend=self._backend,
            channel_type=self._channel_type.name,
            host=self._host.name,
            passed=not what,
            seconds=time.monotonic() - begun,
            text=self._rule.text,
            what=what,
            report=report,
        )

    def attempt(self) -> str | Died:
        """Make one connection; why that did not work, or nothing to say."""
        try:
            self.try_connection()
        except BaseException as error:
            return Died(_one_line(error), "".join(traceback.format_exception(error)))
        return ""

    def about(self) -> str:
        """What the rule's protocols have seen so far."""
        now = (
            f"seen: {protocol!r}, {len(protocol.received)} bytes received, "
            f"reason {protocol.reason!r}"
            for net in self._nets
            for protocol in net.protocols
        )
        return "\n".join(part for part in (self._seen, *now) if part)

    def try_connection(self) -> Capabilities:
        """Make one connection and leave it; give what its channel declares.

        A framework opens then what it keeps for good, such as a reactor's waker.
        """
        seen: list[Capabilities] = []

        async def main(backend: Backend) -> None:
            made = backend.create_event()

            def connection_made(protocol: Any) -> None:
                seen.append(protocol.transport.capabilities)
                made.set()

            def factory() -> Recorder:
                return Recorder(connectionMade=connection_made)

            serving = self._channel_type.serve(backend, factory, ConnectionOptions())
            async with serving as connect:
                with await connect():
                    await made.wait()

        self._host.run(main, self._backend, self._channel_type.options)
        return seen[0]

    def hold(self) -> None:
        """Hold the backend to the rule.

        :raises BaseException: it is broken: an AssertionError, or what the backend raised.
        """
        test = self._test(self.try_connection())
        # What is there already is no leak of this rule's, and need not be looked through.
        gc.freeze()
        with unheard() as heard:
            left = self._left_behind(test)
        left += heard
        assert not left, f"left behind: {'; '.join(left)}"

    def _left_behind(self, test: Any) -> list[str]:
        """Run *test*; what it leaves behind, by name."""
        kept: list[str] = []
        for _ in range(_TIMES):
            footprint = Footprint()
            self._once(test)
            left = footprint.left() + self._channel_type.left_behind()
            kept = footprint.kept()
            if left or not kept:
                return left
        return kept

    def _test(self, can: Capabilities) -> Any:
        """The rule's test, or what it says of a backend or channel that declares a need off."""
        # Not before its assertions are explained; the suite has imported it by now.
        from ..rules.alternatives import ALTERNATIVES

        assert self._rule is not None
        backend = load_backend(self._backend).capabilities
        for need in self._rule.needs:
            if not getattr(backend if hasattr(backend, need) else can, need):
                return ALTERNATIVES[need]
        return self._rule.test

    def _once(self, test: Any) -> None:
        if not inspect.iscoroutinefunction(test):
            test(self._suite, self._channel_type, self._host)
            return

        async def main(backend: Backend) -> None:
            net = Net(backend, self._channel_type, self._host)
            self._nets.append(net)
            try:
                await test(self._suite, net)
            finally:
                await net.close()

        assert self._rule is not None
        options = {**self._channel_type.options, **self._rule.options}
        self._host.run(main, self._backend, options)
        for net in self._nets:
            net.check_order()
        # What they hold, up to a loop of the host's, is no leak of the backend's.
        self._seen = self.about()
        self._nets.clear()


class _Log(logging.Handler):
    """Keeps the last that was logged."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self.setFormatter(logging.Formatter("logged by %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
        del self._lines[:-_LOG_LINES]

    def shown(self) -> str:
        return "\n".join(self._lines)


def _one_line(error: BaseException) -> str:
    """What *error* says, in one line, and which class it is where that tells more."""
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else ""
    if isinstance(error, AssertionError):
        # After a message of its own, pytest shows the values in the next line.
        shown = next((line for line in lines[1:2] if line.startswith("assert ")), "")
        return ": ".join(part for part in (said, shown) if part) or "an assertion failed"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
