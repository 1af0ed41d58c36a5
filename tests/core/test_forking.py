"""Forked children, as programs have them: `multiprocessing`, and plain forks that go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from core.support import VARIANTS, python

PROGRAM = """
    import multiprocessing, os, socket, sys, tempfile, threading, traceback
    sys.path.insert(0, {tests!r})
    from core.support import EchoBack, Recorder, run, until
    import halfclose

    VARIANT = {variant!r}
    inner = {inner!r}

    async def client(backend, listener):
        protocol = await backend.connect(listener.endpoint, Recorder)
        await echoed(backend, protocol, b"first")
        return protocol

    async def echoed(backend, protocol, data):
        before = len(protocol.data)
        protocol.transport.write(data)
        await until(backend, lambda: len(protocol.data) == before + len(data))

    async def ended(backend, process):
        await until(backend, lambda: process.exitcode is not None)
        return process.exitcode

    def normally(queue, protocol):
        # A backend of its own, in the child of one that runs.
        async def main(backend):
            async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
                await client(backend, listener)
        run(main, variant=inner)
        queue.put(protocol.transport.state.value)

    def badly(queue, protocol):
        protocol.transport.abortConnection()
        raise ValueError("badly")

    def living(queue, protocol):
        queue.get()

    async def main(backend, folder):
        context = multiprocessing.get_context("fork")
        for endpoint in ("tcp:127.0.0.1:0", "unix:" + os.path.join(folder, "s")):
            async with await backend.listen(endpoint, EchoBack) as listener:
                one, other = [await client(backend, listener) for _ in range(2)]
                queue = context.SimpleQueue()
                for life, status in ((normally, 0), (badly, 1)):
                    process = context.Process(target=life, args=(queue, one))
                    process.start()
                    assert await ended(backend, process) == status
                    await echoed(backend, one, b"after a child")
                assert queue.get() == "closed"

                # A child that comes back to the body, and would leave it.
                number = os.fork()
                if not number:
                    with open(os.devnull, "w") as sys.stderr:
                        async with listener:
                            raise SystemExit(7)
                _, status = os.waitpid(number, 0)
                assert os.waitstatus_to_exitcode(status) == 7
                for protocol in (one, other):
                    await echoed(backend, protocol, b"and after that")
                await client(backend, listener)

                # The loop is still woken by others.
                woken = backend.create_event()
                thread = threading.Thread(target=backend.call_soon_threadsafe, args=(woken.set,))
                thread.start()
                await woken.wait()
                thread.join()

                # Nobody accepts for a child that lives on.
                process = context.Process(target=living, args=(queue, one))
                process.start()
                path = endpoint.removeprefix("unix:")
                assert not path.startswith("/") or os.path.exists(path)
                await listener.aclose()
                try:
                    await backend.connect(listener.endpoint, Recorder)
                except halfclose.ConnectError:
                    pass
                else:
                    raise AssertionError("a closed listener accepts")
                # What the child holds keeps no address in use.
                async with await backend.listen(str(listener.endpoint), EchoBack) as again:
                    await client(backend, again)
                queue.put(None)
                assert await ended(backend, process) == 0
                process.close()
                queue.close()

    for sockets in ("poller", "native"):
        with tempfile.TemporaryDirectory(prefix="hc") as folder:
            run(main, folder, variant=VARIANT, options={{"sockets": sockets}})
    print("done")
"""

INNER = {"anyio+trio": "twisted+epoll"}
"""What a child runs in its turn; trio does not let itself be run there."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_children_leave_the_parent_alone(variant: str) -> None:
    code = PROGRAM.format(
        tests=str(Path(__file__).parent.parent),
        variant=variant,
        inner=INNER.get(variant, variant),
    )
    assert python(code, warm=True) == "done\n"


POINTS = """
    import errno, os, sys, warnings
    sys.path.insert(0, {tests!r})
    from core.support import Recorder, until
    import halfclose
    from halfclose.hooks import hookimpl
    from halfclose.io import lingering

    VARIANT = {variant!r}
    PARENT = os.getpid()
    warnings.simplefilter("ignore", DeprecationWarning)
    statuses = []

    def fork(error=None):
        number = os.fork()
        if not number:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            if error is not None:
                raise error
            return
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))

    def check(statuses_due, point):
        assert statuses == statuses_due, (point, statuses)
        statuses.clear()

    class Forking(Recorder):
        point, error = "", None

        def _at(self, point):
            if os.getpid() != PARENT:
                os._exit(99)
            if point == self.point:
                fork(self.error)

        def connectionMade(self):
            self._at("made")
            super().connectionMade()

        def readConnectionLost(self):
            self._at("read")
            self.transport.loseWriteConnection()

        def writeConnectionLost(self):
            self._at("write")

        def connectionLost(self, reason):
            self._at("lost")
            super().connectionLost(reason)

    class Plugin:
        @hookimpl
        def halfclose_connection_made(self):
            if os.getpid() != PARENT:
                os._exit(94)

        halfclose_half_closed = halfclose_connection_lost = halfclose_connection_made

    class Producer(halfclose.PullProducer):
        def __init__(self, transport, point, error):
            self.transport, self.point, self.error = transport, point, error

        def resumeProducing(self):
            if self.point == "resume":
                fork(self.error)
            self.transport.unregisterProducer()

        def stopProducing(self):
            if self.point == "stop":
                fork(self.error)

    def links(kind):
        found = set()
        for name in os.listdir("/proc/self/fd"):
            try:
                link = os.readlink("/proc/self/fd/" + name)
            except FileNotFoundError:
                continue
            if link.startswith(kind):
                found.add(link)
        return found

    async def main(backend, endpoint):
        for error, status in ((None, 1), (ValueError("in a child"), 1), (SystemExit(6), 6)):
            for point in ("made", "read", "write", "lost"):
                class Here(Forking):
                    pass
                Here.point, Here.error = point, error
                servers = []
                async with await backend.listen(
                    endpoint, lambda: servers.append(Here()) or servers[-1]
                ) as listener:
                    client = await backend.connect(listener.endpoint, Forking)
                    client.transport.loseWriteConnection()
                    await client.transport.whenClosed()
                    await until(backend, lambda: servers and "lost" in servers[-1].events)
                check([status], (point, error))

            # Factories: what is accepted, and what connects, which gets an error it may handle.
            def factory():
                if os.getpid() != PARENT:
                    os._exit(98)
                fork(error)
                return Forking()
            async with await backend.listen(endpoint, factory) as listener:
                client = await backend.connect(listener.endpoint, Forking)
                await until(backend, lambda: statuses)
                check([status], ("accepting", error))
                client.transport.abortConnection()
            async with await backend.listen(endpoint, Forking) as listener:
                try:
                    client = await backend.connect(listener.endpoint, factory)
                except BaseException as refused:
                    assert os.getpid() != PARENT, refused
                    if error is not None:
                        os._exit(status if refused is error else 97)
                    os._exit(1 if isinstance(refused, RuntimeError) else 97)
                check([status], ("connecting", error))

                for point in ("resume", "stop"):
                    client = await backend.connect(listener.endpoint, Forking)
                    producer = Producer(client.transport, point, error)
                    if point == "stop":
                        client.transport.abortConnection()
                    client.transport.registerProducer(producer, False)
                    await until(backend, lambda: statuses)
                    check([status], (point, error))
                    client.transport.abortConnection()

            # The loop's own calls.
            for begin in (
                lambda: backend.call_soon(fork, error),
                lambda: backend.call_later(0.0, fork, error),
                lambda: backend.call_later(0.001, fork, error),
                lambda: backend.call_soon_threadsafe(fork, error),
            ):
                begin()
                await until(backend, lambda: statuses)
                check([status], ("call", error))
            reading, writing = os.pipe()

            def ready():
                watch.stop()
                fork(error)

            watch = backend.watch(reading, ready)
            os.write(writing, b"x")
            await until(backend, lambda: statuses)
            check([status], ("watch", error))
            os.close(reading)
            os.close(writing)

        # What a child cancels goes on in its parent.
        reading, writing = os.pipe()
        seen = backend.create_event()
        fired = backend.create_event()
        watch = backend.watch(reading, seen.set)
        timers = [backend.call_later(delay, fired.set) for delay in (0.05, 0.06)]
        # Whatever is being begun for it has begun.
        await backend.sleep(0.001)
        number = os.fork()
        if not number:
            try:
                watch.stop()
                for timer in timers:
                    timer.cancel()
            except BaseException:
                os._exit(96)
            os._exit(0)
        assert os.waitpid(number, 0)[1] == 0
        os.write(writing, b"x")
        await seen.wait()
        await fired.wait()
        watch.stop()
        os.close(reading)
        os.close(writing)

        # No socket of the parent's is left in a child.
        before = links("socket:")
        accepted = []
        async with await backend.listen(endpoint, Forking) as listener:
            one = await backend.connect(listener.endpoint, Forking)
            # Both of these stay open: the one's peer lingers, since it does not end.
            async with await backend.listen(
                endpoint, lambda: accepted.append(Recorder()) or accepted[0]
            ) as other:
                quiet = await backend.connect(other.endpoint, Recorder)
                await until(backend, lambda: accepted)
                accepted[0].transport.loseConnection()
                await accepted[0].transport.whenClosed()
            make, waits = backend.driver.channel, []

            def no_room(sock, **known):
                if "lost" not in known:
                    waits.append(sock)
                    raise OSError(errno.ENOBUFS, "no room is left")
                return make(sock, **known)

            backend.driver.channel = no_room
            two = await backend.connect(listener.endpoint, Forking)
            await until(backend, lambda: waits)
            assert waits[-1].fileno() >= 0
            number = os.fork()
            if not number:
                held = [fd for holder in backend._holders for fd in holder() if fd >= 0]
                left = links("socket:") - before
                if left or {{os.readlink(f"/proc/self/fd/{{fd}}") for fd in held}} - {{os.devnull}}:
                    print(left, held, links(""), file=sys.stderr, flush=True)
                    os._exit(95)
                # Nor is anything of its connections that its own could wait for.
                os._exit(93 if lingering._oldest_first() or len(backend.lingering) else 0)
            assert os.waitpid(number, 0)[1] == 0
            assert len(backend.lingering) == 1
            backend.driver.channel = make
            for client in (one, two, quiet):
                client.transport.loseConnection()
                assert isinstance(await client.transport.whenClosed(), halfclose.ConnectionDone)

    halfclose.register(Plugin())
    for sockets in ("poller", "native"):
        halfclose.run(
            main, "tcp:127.0.0.1:0", backend=VARIANT, options={{"sockets": sockets}}
        )
    print("done")
"""


@pytest.mark.parametrize("variant", VARIANTS)
def test_wherever_a_child_is_forked_it_ends(variant: str) -> None:
    code = POINTS.format(tests=str(Path(__file__).parent.parent), variant=variant)
    assert python(code, warm=True) == "done\n"


UNFORKED = """
    import os, socket, subprocess, sys
    from halfclose.forking import has_forked
    from halfclose.io.syscalls import let_go, reset, stop_listening

    class Counting(socket.socket):
        calls = 0

        def _count(self, *args):
            Counting.calls += 1
            return b""

        recv = shutdown = connect = _count

    def end():
        for end in (let_go, reset, stop_listening):
            end(Counting(socket.AF_UNIX, socket.SOCK_STREAM))
        calls, Counting.calls = Counting.calls, 0
        return calls

    assert not has_forked() and not end()
    # A program that is run inherits nothing.
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert not has_forked() and not end()
    number = os.fork()
    if not number:
        # What a child opens, nobody else has.
        os._exit(has_forked() or end())
    assert os.waitpid(number, 0)[1] == 0
    assert has_forked() and end() == 4
    print("done")
"""


def test_what_a_fork_costs_is_paid_only_where_there_was_one() -> None:
    assert python(UNFORKED) == "done\n"


LOCKED = """
    import os, socket, sys, threading
    sys.path.insert(0, {tests!r})
    import trio
    import halfclose
    from core.support import Recorder

    # Trio has a lock around what comes from threads. A thread of the parent's can hold it in the
    # moment of the fork, and then nobody releases it in the child.
    parent = os.getpid()
    original = trio.lowlevel.TrioToken.run_sync_soon

    def run_sync_soon(self, *args, **options):
        if os.getpid() != parent:
            os._exit(97)
        original(self, *args, **options)

    trio.lowlevel.TrioToken.run_sync_soon = run_sync_soon

    class Producer:
        def resumeProducing(self):
            os._exit(98)

        stopProducing = resumeProducing

    async def main(backend):
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = "tcp:127.0.0.1:%d" % server.getsockname()[1]
            client = await backend.connect(endpoint, Recorder)
        number = os.fork()
        if not number:
            client.transport.registerProducer(Producer(), False)
            for verb in ("loseWriteConnection", "loseConnection", "abortConnection"):
                getattr(client.transport, verb)()
            backend.call_soon(os._exit, 98)
            backend.call_soon_threadsafe(os._exit, 98)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 0
        client.transport.abortConnection()
        await client.transport.whenClosed()

    halfclose.run(main, backend="anyio+trio")
    print("done")
"""


def test_a_child_waits_for_no_lock_of_its_parents_loop() -> None:
    assert python(LOCKED.format(tests=str(Path(__file__).parent.parent))) == "done\n"
