"""SIGINT at bad moments, children that end, and reactors that are stopped."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from core.support import TWISTED, python, run

FOLDER = str(Path(__file__).parent.parent)

each_variant = pytest.mark.parametrize("variant", TWISTED)


@each_variant
def test_an_interrupt_before_main_begins_ends_the_run(variant: str) -> None:
    """In the last moment before, and as early as the reactor starts."""
    called: list[str] = []

    async def main(backend: Any) -> None:
        called.append("main")

    from twisted.internet.base import ReactorBase

    for name in ("startRunning", "callWhenRunning"):
        before = getattr(ReactorBase, name)

        def interrupting(
            reactor: Any, *args: Any, before: Any = before, name: str = name, **kwargs: Any
        ) -> Any:
            setattr(ReactorBase, name, before)
            signal.raise_signal(signal.SIGINT)
            return before(reactor, *args, **kwargs)

        setattr(ReactorBase, name, interrupting)
        try:
            with pytest.raises(KeyboardInterrupt):
                run(main, variant=variant)
        finally:
            setattr(ReactorBase, name, before)
    assert called == []
    run(main, variant=variant)
    assert called == ["main"]


@each_variant
def test_an_interrupt_after_main_has_ended_is_not_lost(variant: str) -> None:
    async def main(backend: Any) -> str:
        backend.reactor.addSystemEventTrigger(
            "after", "shutdown", signal.raise_signal, signal.SIGINT
        )
        return "done"

    with pytest.raises(KeyboardInterrupt):
        run(main, variant=variant)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@each_variant
def test_a_second_interrupt_leaves_nothing_on_the_reactor(variant: str) -> None:
    """Nothing that the next program would meet: no port, trigger, thread or descriptor."""
    out = python(
        f"""
        import signal, socket, sys, threading
        sys.path.insert(0, {FOLDER!r})
        import halfclose
        from core.support import descriptors
        from twisted.internet import protocol
        from twisted.internet.defer import CancelledError

        seen = []

        async def stubborn(backend):
            reactor = backend.reactor
            port = reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")
            reactor.addSystemEventTrigger("during", "shutdown", seen.append, "shutdown")
            reactor.callInThread(seen.append, "thread")
            addresses.append(("127.0.0.1", port.getHost().port))
            for _ in range(2):
                backend.call_soon(signal.raise_signal, signal.SIGINT)
                try:
                    await backend.sleep(3600)
                except CancelledError:
                    seen.append("cancelled")

        async def next_one(backend):
            await backend.sleep(0)
            seen.append("next")
            return sorted(type(each).__name__ for each in backend.reactor.getReaders())

        addresses, counts = [], []
        readers = halfclose.run(next_one, backend={variant!r})
        for _ in range(4):
            seen.clear()
            try:
                halfclose.run(stubborn, backend={variant!r})
            except KeyboardInterrupt:
                seen.append("interrupt")
            try:
                socket.create_connection(addresses[-1]).close()
                print("accepted")
            except ConnectionRefusedError:
                pass
            assert halfclose.run(next_one, backend={variant!r}) == readers
            assert seen.count("shutdown") == 1, seen
            assert seen.index("shutdown") < seen.index("interrupt"), seen
            assert seen[-1] == "next"
            counts.append((len(descriptors()), threading.active_count()))
        assert counts == counts[:1] * 4, counts
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print("done")
        """,
        warm=True,
    )
    assert out == "done\n"


@each_variant
def test_interrupts_that_come_too_late_do_not_end_the_next_run(variant: str) -> None:
    """The reactor has no time for them any more, and calls them when it runs again."""

    async def main(backend: Any) -> None:
        for _ in range(2):
            backend.reactor.addSystemEventTrigger(
                "after", "shutdown", signal.raise_signal, signal.SIGINT
            )

    async def next_one(backend: Any) -> str:
        for _ in range(3):
            await backend.sleep(0)
        return "done"

    # A new reactor has triggers of its own, and one that is lent again has not.
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(main, variant=variant)
        assert run(next_one, variant=variant) == "done"


@pytest.mark.parametrize("sockets", ["poller", "native"])
@each_variant
def test_a_second_interrupt_aborts_connections_on_any_reactor(variant: str, sockets: str) -> None:
    """On the first run of a reactor and on later ones; the next run is whole each time."""
    out = python(
        f"""
        import signal, sys
        sys.path.insert(0, {FOLDER!r})
        import halfclose
        from core.support import Recorder, descriptors, until

        made = []

        def factory():
            made.append(Recorder())
            return made[-1]

        async def stubborn(backend):
            listener = await backend.listen("tcp:127.0.0.1:0", factory)
            await backend.connect(listener.endpoint, factory)
            await until(backend, lambda: [each.events for each in made] == [["made"]] * 2)
            for _ in range(2):
                backend.call_soon(signal.raise_signal, signal.SIGINT)
                try:
                    await backend.sleep(3600)
                except Exception:
                    pass

        async def next_one(backend):
            await backend.sleep(0)
            return "next"

        counts = []
        for _ in range(3):
            made.clear()
            try:
                halfclose.run(stubborn, backend={variant!r}, options={{"sockets": {sockets!r}}})
            except KeyboardInterrupt:
                pass
            for each in made:
                assert each.events[-1] == "lost" and each.events.count("lost") == 1, each.events
                assert type(each.reason) is halfclose.ConnectionAborted, each.reason
            assert halfclose.run(next_one, backend={variant!r}) == "next"
            counts.append(len(descriptors()))
        assert counts == counts[:1] * 3, counts
        print("done")
        """,
        warm=True,
    )
    assert out == "done\n"


@each_variant
def test_children_are_reaped(variant: str) -> None:
    """Spawned on the run's own reactor; and every handler is as it was, afterwards."""
    out = python(
        f"""
        import signal, sys, os
        sys.path.insert(0, {FOLDER!r})
        import halfclose
        from twisted.internet import protocol
        from twisted.internet.defer import Deferred

        # It ends by itself, too, where the test has failed.
        SCRIPT = (
            "trap 'exit N' USR1; echo out; exec <&- >&- 2>&-; n=0; "
            "while [ $n -lt 2000 ]; do n=$((n+1)); sleep 0.01; done"
        )

        class Child(protocol.ProcessProtocol):
            def __init__(self):
                self.ended = Deferred()
                self.pipes = 3
            def childConnectionLost(self, fd):
                # With its last pipe Twisted looks for the child, which is still there.
                self.pipes -= 1
                if not self.pipes:
                    backend.call_soon(self.transport.signalProcess, signal.SIGUSR1)
            def outReceived(self, data):
                print(data.decode().strip())
            def processEnded(self, reason):
                self.ended.callback(reason.value.exitCode)

        async def main(its_backend):
            global backend
            backend = its_backend
            children = [Child() for _ in range(3)]
            for number, child in enumerate(children):
                backend.reactor.spawnProcess(
                    child, "/bin/sh", ["sh", "-c", SCRIPT.replace("N", str(number))], env=None
                )
            return [await child.ended for child in children]

        def mine(number, frame):
            seen.append(number)

        seen = []
        before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGCHLD, signal.SIGTERM)]
        for _ in range(2):
            print(halfclose.run(main, backend={variant!r}))
            now = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGCHLD, signal.SIGTERM)]
            assert now == before, now
            assert signal.set_wakeup_fd(-1) == -1
        # A handler of the program's own is called as well.
        signal.signal(signal.SIGCHLD, mine)
        print(halfclose.run(main, backend={variant!r}))
        assert seen
        assert signal.getsignal(signal.SIGCHLD) is mine
        """,
        warm=True,
    )
    assert out.splitlines() == ["out", "out", "out", "[0, 1, 2]"] * 3


@each_variant
def test_a_signal_that_another_thread_takes_wakes_the_reactor(variant: str) -> None:
    """As one that comes in the moment before the reactor sleeps, it interrupts no sleep."""
    out = python(
        f"""
        import signal, sys, threading, time
        import halfclose

        def asleep(thread):
            with open(f"/proc/self/task/{{thread.native_id}}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "S"

        def signal_this_thread():
            # The main thread has long begun to sleep when it is seen asleep so often.
            seen = 0
            while seen < 50:
                seen = seen + 1 if asleep(threading.main_thread()) else 0
                time.sleep(0.001)
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        async def main(backend):
            thread = threading.Thread(target=signal_this_thread)
            thread.start()
            await backend.create_event().wait()

        try:
            halfclose.run(main, backend={variant!r})
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    assert out == "interrupted\n"
