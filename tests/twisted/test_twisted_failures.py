"""What events raise: trial hears of it, and a program reads it once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from core.support import python

TESTS = """
    import halfclose
    from halfclose_twisted import as_factory
    from twisted.internet import endpoints, protocol, reactor
    from twisted.internet.defer import Deferred
    from twisted.trial import unittest

    class Bad(halfclose.Protocol):
        def __init__(self, over):
            self.over = over
        def dataReceived(self, data):
            raise LookupError("in an event")
        def connectionLost(self, reason):
            reactor.callLater(0, self.over.callback, None)

    class Client(protocol.Protocol):
        def connectionMade(self):
            self.transport.write(b"x")

    class Fails(unittest.TestCase):
        async def serve(self):
            over = Deferred()
            endpoint = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
            port = await endpoint.listen(as_factory(lambda: Bad(over)))
            lost = Deferred()
            client = Client()
            client.connectionLost = lambda reason: lost.callback(None)
            await endpoints.connectProtocol(
                endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), client
            )
            await over
            await lost
            await port.stopListening()

        async def program(self):
            async with halfclose.open_backend() as backend:
                over = Deferred()
                async with await backend.listen("tcp:127.0.0.1:0", lambda: Bad(over)) as listener:
                    class Says(halfclose.Protocol):
                        def connectionMade(self):
                            self.transport.write(b"x")
                    await backend.connect(listener.endpoint, Says)
                    await over

        def test_event(self):
            return Deferred.fromCoroutine(self.serve())

        def test_program(self):
            return Deferred.fromCoroutine(self.program())

        def test_task(self):
            async def main():
                async def task():
                    raise LookupError("in a task")
                async with halfclose.open_backend() as backend:
                    backend.start_soon(task)
                    await backend.sleep(0)
            return Deferred.fromCoroutine(main())

    class Passes(Fails):
        def tearDown(self):
            assert len(self.flushLoggedErrors(LookupError)) == 1
"""


def test_trial_fails_where_an_event_has_failed(tmp_path: Path) -> None:
    """And passes where the test has flushed what it expected; it finds no reactor unclean."""
    (tmp_path / "test_mine.py").write_text(textwrap.dedent(TESTS))
    for name, status, end in (
        ("Fails", 1, "FAILED (errors=3)"),
        ("Passes", 0, "PASSED (successes=3)"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "twisted.trial", f"test_mine.{name}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert done.stdout.rstrip().endswith(end), done.stdout
        assert "Unclean" not in done.stdout


PROGRAM = """
    import logging, sys
    import halfclose
    from twisted import logger
    from twisted.python import log

    {setup}

    async def main(backend):
        backend.call_soon(int, "{{no number}}")
        await backend.sleep(0)

    halfclose.run(main, backend="twisted")
"""

SETUPS = {
    "nothing": "",
    "stdlib": "logging.basicConfig(stream=sys.stderr)",
    "twisted": "logger.globalLogBeginner.beginLoggingTo("
    "[logger.textFileLogObserver(sys.stderr)], redirectStandardIO=False)",
    "twisted, redirected": "logger.globalLogBeginner.beginLoggingTo("
    "[logger.textFileLogObserver(sys.__stdout__)])",
    "twisted, of old": "log.startLogging(sys.stderr)",
    "twisted to stdlib": "logging.basicConfig(stream=sys.stderr); "
    "logger.globalLogBeginner.beginLoggingTo([logger.STDLibLogObserver()], "
    "redirectStandardIO=False)",
    "stdlib to twisted, as text": """
    class Forward(logging.Handler):
        def emit(self, record):
            logger.Logger(record.name).error("{text}", text=self.format(record))
    logging.getLogger().addHandler(Forward())
    logger.globalLogBeginner.beginLoggingTo(
        [logger.textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    """,
    "stdlib to twisted, whole": """
    from twisted.python.failure import Failure
    class Forward(logging.Handler):
        def emit(self, record):
            logger.Logger(record.name).failure(
                "{text}", Failure(*record.exc_info[1::-1]), text=record.getMessage())
    logging.getLogger().addHandler(Forward())
    logger.globalLogBeginner.beginLoggingTo(
        [logger.textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    """,
}


@pytest.mark.parametrize("setup", SETUPS)
def test_a_program_reads_a_failure_once(setup: str) -> None:
    code = PROGRAM.format(setup=textwrap.dedent(SETUPS[setup]).replace("\n", "\n    "))
    # Until a program begins logging, twisted.logger writes to the stderr that was there when it was
    # imported: in an interpreter that has imported it already, that is another one.
    warm = setup != "nothing"
    out = python(
        "import sys; sys.stderr = sys.stdout = sys.__stdout__\n" + textwrap.dedent(code), warm=warm
    )
    shown = [line for line in out.splitlines() if "invalid literal" in line]
    assert len(shown) == 1, out
    assert len([line for line in out.splitlines() if "<class 'int'> failed" in line]) == 1, out
