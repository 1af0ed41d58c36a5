"""Names, connecting, accepting, and what can go wrong with them; whom a fault is for."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import halfclose
import pytest
from halfclose import (
    Backend,
    ConnectError,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    EndpointError,
    ListenError,
    Memory,
)
from halfclose.examples import Echo
from halfclose.memory import Deadlock, End, Network
from halfclose.memory.backend import MemoryBackend
from halfclose.testing.networks import OpenNetwork, network
from memory.support import EchoBack, Noted, drive


def error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


# -- names -----------------------------------------------------------------------------------------


def test_two_cannot_listen_on_one_name_at_once() -> None:
    net = Network()
    first = net.raw_listen("name")
    assert first.endpoint == Memory("name")
    with pytest.raises(OSError, match="in use") as caught:
        net.raw_listen("name")
    assert caught.value.errno == errno.EADDRINUSE
    first.close()
    first.close()
    net.raw_listen("name").close()


def test_the_backend_says_so_too() -> None:
    async def main() -> None:
        async with network() as net, await net.backend.listen("memory:name", Noted) as listener:
            assert listener.endpoint == Memory("name")
            with pytest.raises(ListenError, match=r"cannot listen on memory:name: .*in use"):
                await net.backend.listen("memory:name", Noted)

    drive(main())


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\t"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(EndpointError):
        Network().raw_listen(name)


def test_networks_know_nothing_of_each_other() -> None:
    one, other = Network(), Network()
    one.raw_listen("name")
    with pytest.raises(ConnectionRefusedError):
        other.connect("name")


def test_the_addresses_of_both_ends() -> None:
    async def main() -> None:
        async with network() as net:
            served: list[EchoBack] = []

            def factory() -> EchoBack:
                served.append(EchoBack())
                return served[-1]

            await net.backend.listen("memory:name", factory)
            clients = [await net.backend.connect("memory:name", Noted) for _ in range(2)]
            await net.advance(0)
            for number, (client, server) in enumerate(zip(clients, served, strict=True)):
                here, there = Memory(f"name~{number}"), Memory("name")
                assert (client.transport.getHost(), client.transport.getPeer()) == (here, there)
                assert (server.transport.getHost(), server.transport.getPeer()) == (there, here)
                assert isinstance(server.transport.getHandle(), End)

    drive(main())


# -- connecting ------------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    async def main() -> None:
        async with network() as net:
            with pytest.raises(ConnectionRefused, match="memory:nobody") as caught:
                await net.backend.connect("memory:nobody", Noted)
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            with pytest.raises(ConnectionRefusedError):
                await net.raw("nobody")

    drive(main())


def test_refused_though_somebody_listens_until_mended() -> None:
    async def main() -> None:
        async with network() as net:
            await net.backend.listen("memory:name", EchoBack)
            net.refuse("name")
            with pytest.raises(ConnectionRefused):
                await net.backend.connect("memory:name", Noted)
            net.refuse("name", errno.ENETUNREACH)
            with pytest.raises(ConnectError, match="unreachable") as caught:
                await net.backend.connect("memory:name", Noted)
            assert type(caught.value) is ConnectError
            net.mend("name")
            await net.backend.connect("memory:name", Noted)

    drive(main())


def test_a_black_hole_is_a_timeout() -> None:
    async def main() -> None:
        async with network() as net:
            net.black_hole("name")
            with pytest.raises(ConnectTimeout, match=r"memory:name: no answer within 5 s"):
                await net.backend.connect("memory:name", Noted, timeout=5)
            assert net.clock == 5
            with pytest.raises(ConnectTimeout, match=r"memory:name: .*timed out") as caught:
                await net.backend.connect("memory:name", Noted, timeout=None)
            assert isinstance(caught.value.__cause__, TimeoutError)
            assert net.clock == 5 + 127
            with pytest.raises(TimeoutError):
                await net.raw("name")
            net.mend("name")
            with pytest.raises(ConnectionRefused):
                await net.backend.connect("memory:name", Noted)

    drive(main())


def test_connecting_takes_the_latency_of_both_ways() -> None:
    async def main() -> None:
        async with network() as net:
            net.set_latency(2, "name", way="up")
            net.set_latency(3, "name", way="down")
            net.raw_listen("name")
            await net.raw("name")
            assert net.clock == 5
            with pytest.raises(ConnectTimeout):
                await net.backend.connect("memory:name", Noted, timeout=4)
            await net.advance(10)
            assert len(net.ends()) == 2, "the connection that came too late was made"

    drive(main())


def test_a_connect_that_is_cancelled_leaves_nothing() -> None:
    async def main() -> OpenNetwork:
        async with network(latency=5) as net:
            listener = net.raw_listen("name")
            net.backend.start_soon(net.backend.connect, "memory:name", Noted)
            net.black_hole("hole")
            net.backend.start_soon(net.backend.connect, "memory:hole", Noted)
            net.backend.start_soon(net.raw, "name")
            await net.advance(1)
            listener.close()
        return net

    assert drive(main()).open_ends() == []


def test_the_backend_is_left_while_somebody_outside_of_it_connects() -> None:
    async def main() -> list[BaseException]:
        failures: list[BaseException] = []
        async with network(latency=5) as net:
            net.raw_listen("name")
            inner = MemoryBackend("memory", {"network": net, "grace": 0})

            async def connect() -> None:
                try:
                    await inner.connect("memory:name", Noted)
                except BaseException as failure:
                    failures.append(failure)

            async with inner:
                net.backend.start_soon(connect)
                await net.advance(1)
            await net.advance(100)
            assert net.ends() == []
        return failures

    (failure,) = drive(main())
    assert isinstance(failure, RuntimeError)
    assert "has been left" in str(failure)


# -- accepting -------------------------------------------------------------------------------------


def test_the_end_is_accepted_by_hand() -> None:
    async def main() -> None:
        async with network() as net:
            with net.raw_listen("name") as listener:
                client = await net.backend.connect("memory:name", EchoBack)
                with await listener.accept() as end:
                    await end.send_all(b"hello")
                    assert await end.receive_exactly(5) == b"hello"
                    end.shutdown()
                    assert await end.receive_all() == b""
                assert client.events == ["made", "data", "read", "lost"]
            with pytest.raises(RuntimeError, match="closed"):
                await listener.accept()

    drive(main())


def test_each_of_several_that_accept_gets_a_connection_of_its_own() -> None:
    async def main() -> list[str]:
        async with network() as net:
            listener = net.raw_listen("name")
            accepted: list[str] = []

            async def accept() -> None:
                accepted.append(str((await listener.accept()).peer))

            for _ in range(3):
                net.backend.start_soon(accept)
            await net.advance(0)
            for _ in range(3):
                await net.raw("name")
            await net.advance(0)
        return accepted

    assert sorted(drive(main())) == ["memory:name~0", "memory:name~1", "memory:name~2"]


def test_a_listener_that_is_closed_resets_what_nobody_accepted() -> None:
    async def main() -> None:
        net = Network()
        listener = net.raw_listen("name")
        end = await net.raw("name")
        await end.send_all(b"x")
        listener.close()
        with pytest.raises(ConnectionResetError):
            await end.receive()

    drive(main())


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def test_accepting_waits_for_resources(code: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with network() as net:
            await net.backend.listen("memory:name", EchoBack)
            net.fail_accept("name", error(code), times=3)
            peer = await net.raw("name")
            await peer.send_all(b"hello")
            assert await peer.receive_exactly(5) == b"hello"
            assert net.clock == pytest.approx(0.3), "it tried again at once, or gave up"
            peer.close()

    with caplog.at_level(logging.ERROR, "halfclose"):
        drive(main())
    assert len(caplog.records) == 1, "it is told once"
    assert "memory:name" in caplog.text


def test_accepting_that_fails_for_good(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with network() as net:
            listener = await net.backend.listen("memory:name", EchoBack)
            assert listener.failure is None
            net.fail_accept("name", error(errno.EINVAL))
            await net.raw("name")
            await net.backend.sleep(1)
            assert listener.failure is not None
            assert listener.failure.errno == errno.EINVAL
            with pytest.raises(ConnectError):
                await net.backend.connect("memory:name", EchoBack)

    with caplog.at_level(logging.ERROR, "halfclose"):
        drive(main())
    assert [record.getMessage() for record in caplog.records] == [
        "memory:name accepts no more: [Errno 22] Invalid argument"
    ]


def test_accepting_a_connection_that_is_gone_goes_on_to_the_next() -> None:
    async def main() -> None:
        async with network() as net:
            await net.backend.listen("memory:name", EchoBack)
            net.fail_accept("name", error(errno.ECONNABORTED))
            lost, served = await net.raw("name"), await net.raw("name")
            served.send(b"hello")
            assert await served.receive_exactly(5) == b"hello"
            with pytest.raises(ConnectionResetError):
                await lost.receive()

    drive(main())


def test_accepting_by_hand_fails_as_it_was_told_to_until_mended() -> None:
    async def main() -> None:
        net = Network()
        listener = net.raw_listen("name")
        net.fail_accept("name", error(errno.EMFILE), times=2)
        await net.raw("name")
        with pytest.raises(OSError, match="Too many"):
            await listener.accept()
        net.mend("name")
        assert (await listener.accept()).peer == Memory("name~0")

    drive(main())


def test_a_listener_that_is_closed_while_it_waits_for_resources() -> None:
    async def main() -> None:
        async with network() as net:
            listener = await net.backend.listen("memory:name", EchoBack)
            net.fail_accept("name", error(errno.EMFILE))
            peer = await net.raw("name")
            await net.advance(0.05)
            await listener.aclose()
            with pytest.raises(ConnectionResetError):
                await peer.receive()
            await net.advance(1)

    drive(main())


# -- whom a fault is for ---------------------------------------------------------------------------


def test_a_fault_is_for_a_name_an_index_and_a_way() -> None:
    async def main() -> None:
        net = Network()
        listeners = {name: net.raw_listen(name) for name in ("one", "two")}
        net.reset_after(3, "one", 1, "up")
        for name, index, way, broken in (
            ("one", 0, "up", False),
            ("one", 1, "up", True),
            ("one", 2, "up", False),
            ("one", 3, "down", False),
            ("two", 0, "up", False),
            ("two", 1, "up", False),
        ):
            client = await net.raw(name)
            server = await listeners[name].accept()
            assert str(client.name) == f"memory:{name}~{index}"
            (client if way == "up" else server).send(b"12345")
            assert (client.error is not None) == broken, (name, index, way)

    drive(main())


def test_a_fault_for_the_way_that_has_none_leaves_it_alone() -> None:
    async def main() -> None:
        net = Network()
        listener = net.raw_listen("one")
        net.reset_after(3, "one", way="up")
        client = await net.raw("one")
        server = await listener.accept()
        server.send(b"12345")
        assert client.recv() == b"12345"
        assert client.error is None

    drive(main())


def test_the_last_of_several_faults_counts() -> None:
    net = Network(chunks=3)
    net.set_chunks(2, "name")
    net.set_chunks(1, "name", 0, "up")
    listening = net.listen("name")
    client = net.connect("name")
    server = listening.accept()
    assert server is not None
    client.send(b"123456")
    server.send(b"123456")
    assert server.recv() == b"1"
    assert client.recv() == b"12"
    net.set_chunks(None)
    assert server.recv() == b"23456"


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.set_buffer(0),
        lambda net: net.set_latency(-1),
        lambda net: net.delay_end(-1),
        lambda net: net.reset_after(-1),
        lambda net: net.set_chunks(0),
        lambda net: drive(net.advance(-1)),
        lambda net: Network(buffer=0),
        lambda net: Network(latency=-1),
    ],
)
def test_what_is_out_of_range(call: object) -> None:
    net = Network()
    assert callable(call)
    with pytest.raises(ValueError, match=r"or more"):
        call(net)
    # Nothing of it has stayed.
    listening = net.listen("name")
    client = net.connect("name")
    assert client.send(b"x") == 1
    assert listening.acceptable


@pytest.mark.parametrize("place", range(6))
def test_a_protocol_whose_connection_breaks_at_each_byte(place: int) -> None:
    async def main() -> Noted:
        async with network() as net:
            protocol = Noted()
            await net.backend.listen("memory:name", lambda: protocol)
            net.reset_after(place, "name", way="up")
            peer = await net.raw("name")
            try:
                peer.send(b"hello")
            except ConnectionResetError:
                assert place == 0
            await net.advance(0)
            assert protocol.events == (["made", "data", "lost"] if place else ["made", "lost"])
            assert protocol.received == b"hello"[:place]
            peer.close()
        return protocol

    protocol = drive(main())
    assert type(protocol.reason) is ConnectionLost
    assert isinstance(protocol.reason.__cause__, ConnectionResetError)


# -- what is left open -----------------------------------------------------------------------------


def test_ends_that_are_left_open_are_named() -> None:
    async def main() -> Network:
        async with network() as net:
            await net.backend.listen("memory:name", EchoBack)
            await net.raw("name")
            net.raw_listen("other")
            assert net.open_ends() == [
                "the listener on memory:name",
                "the listener on memory:other",
                "memory:name~0, connected to memory:name",
                "memory:name, connected to memory:name~0",
            ]
        return net

    # Those of the backend are closed with it.
    assert drive(main()).open_ends() == [
        "the listener on memory:other",
        "memory:name~0, connected to memory:name",
    ]


def test_leaving_waits_for_connections_in_virtual_time() -> None:
    class Talker(Noted):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(b"x" * 1_000_000)

    async def main(grace: float) -> tuple[float, Noted]:
        protocol = Talker()
        async with network(grace=grace) as net:
            await net.backend.listen("memory:name", lambda: protocol)
            await net.raw("name")
            await net.advance(0)
        return net.clock, protocol

    clock, protocol = drive(main(3))
    assert clock == 3
    assert type(protocol.reason).__name__ == "ConnectionAborted"
    clock, _ = drive(main(0))
    assert clock == 0


def test_a_body_that_raises_aborts_at_once_and_comes_out_bare() -> None:
    class Boom(Exception):
        pass

    boom = Boom()
    seen: list[Network] = []

    async def main() -> None:
        async with network() as net:
            seen.append(net)
            await net.backend.listen("memory:name", EchoBack)
            await net.raw("name")
            await net.advance(0)
            raise boom

    with pytest.raises(Boom) as caught:
        drive(main())
    assert caught.value is boom
    assert seen[0].clock == 0
    assert len(seen[0].ends()) == 1


def test_a_test_that_waits_for_what_nobody_sends_is_told() -> None:
    async def main() -> None:
        async with network() as net:
            await net.backend.listen("memory:name", EchoBack)
            with await net.raw("name") as peer:
                await peer.receive()

    with pytest.raises(Deadlock, match=r"test_network\.py"):
        drive(main())


def test_it_runs_under_a_memory_program_too() -> None:
    async def main(backend: Backend) -> tuple[float, float]:
        await backend.sleep(1)
        async with network() as net:
            await net.advance(100)
            assert isinstance(backend, MemoryBackend)
            assert net is not backend.network
            return backend.time(), net.clock

    assert MemoryBackend.run("memory", None, main, ()) == (1, 100)


@pytest.mark.parametrize("latency", [0.0, 1.0])
def test_what_is_under_way_when_it_breaks_never_arrives(latency: float) -> None:
    async def main(backend: halfclose.Backend) -> None:
        async with network(latency=latency) as net:
            net.reset_after(5, way="up")
            with net.raw_listen("e") as listening:
                client = await net.raw("e")
                with await listening.accept() as server:
                    client.send(b"0123456789")
                    # Its end of stream is under way too, behind what never arrives.
                    client.close()
                    await net.advance(5)
                    assert server.recv() == b"01234"
                    with pytest.raises(ConnectionResetError):
                        server.recv()

    halfclose.run(main, backend="memory")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda net: net.set_buffer(1.5), TypeError),
        (lambda net: net.set_buffer(float("nan")), TypeError),
        (lambda net: net.set_buffer(0), ValueError),
        (lambda net: net.reset_after(1.5), TypeError),
        (lambda net: net.reset_after(-1), ValueError),
        (lambda net: net.stall(way="upp"), ValueError),
        (lambda net: net.stall(index=-1), ValueError),
        (lambda net: net.backend.call_later(float("nan"), print), ValueError),
    ],
)
def test_absurd_faults_are_refused_at_once(call: Any, error: type[Exception]) -> None:
    async def main(backend: halfclose.Backend) -> None:
        async with network() as net:
            with pytest.raises(error):
                call(net)

    halfclose.run(main, backend="memory")


def test_a_chunk_function_may_fail_and_go_on() -> None:
    answers: Iterator[int | Exception] = iter([ZeroDivisionError("no size"), 2, 3])

    def size() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main(backend: halfclose.Backend) -> None:
        async with network(chunks=size) as net:
            with (
                net.raw_listen("e") as listening,
                await net.raw("e") as client,
                await listening.accept() as server,
            ):
                client.send(b"0123456789")
                with pytest.raises(ZeroDivisionError):
                    server.recv()
                assert server.recv() == b"01"
                assert server.recv() == b"234"

    halfclose.run(main, backend="memory")


# -- failures that nobody caught ---------------------------------------------------------------


class Failing(halfclose.Protocol):
    def dataReceived(self, data: bytes) -> None:
        raise LookupError(data)


async def fail(net: OpenNetwork, data: bytes) -> None:
    name = f"failing-{data.decode()}"
    await net.backend.listen(f"memory:{name}", Failing)
    with await net.raw(name) as peer:
        peer.send(data)
        await net.advance(0)


async def failing_task() -> None:
    raise ZeroDivisionError


def test_a_failure_that_nobody_caught_fails_the_test() -> None:
    async def main() -> None:
        async with network() as net:
            await fail(net, b"a")

    with pytest.raises(LookupError) as caught:
        drive(main())
    assert caught.value.args == (b"a",)
    assert "flush_failures" in caught.value.__notes__[0]


def test_several_failures_are_a_group() -> None:
    async def main() -> None:
        async with network() as net:
            await fail(net, b"a")
            net.backend.start_soon(failing_task)
            net.backend.call_soon(int, "x")
            net.backend.call_later(1.0, int, "y")
            await net.advance(2)

    with pytest.raises(ExceptionGroup) as caught:
        drive(main())
    kinds = [type(error) for error in caught.value.exceptions]
    assert kinds == [LookupError, ZeroDivisionError, ValueError, ValueError]


def test_a_failure_while_the_network_is_left_counts() -> None:
    class FailsLate(halfclose.Protocol):
        def connectionLost(self, reason: BaseException) -> None:
            raise LookupError("late")

    async def main() -> None:
        async with network() as net:
            await net.backend.listen("memory:late", FailsLate)
            await net.raw("late")
            await net.advance(0)

    with pytest.raises(LookupError, match="late"):
        drive(main())


def test_what_was_looked_at_fails_nothing() -> None:
    async def main() -> None:
        async with network() as net:
            await fail(net, b"a")
            net.backend.start_soon(failing_task)
            await net.advance(0)
            assert [type(error) for error in net.failures] == [LookupError, ZeroDivisionError]
            assert net.flush_failures(OSError, ZeroDivisionError) != []
            assert [type(error) for error in net.failures] == [LookupError]
            assert [error.args for error in net.flush_failures()] == [(b"a",)]
            assert net.failures == net.flush_failures() == []

    drive(main())


@pytest.mark.parametrize("strict", [True, False])
def test_the_exception_of_the_body_names_what_has_failed(strict: bool) -> None:
    """A protocol that raises resets its connection, and the test sees the reset first."""

    class Raises(halfclose.Protocol):
        def dataReceived(self, data: bytes) -> None:
            raise ValueError(f"{data!r} is not mine")

    async def main() -> None:
        async with network(strict=strict) as net:
            await net.backend.listen("memory:it", Raises)
            with await net.raw("it") as expected:
                await expected.send_all(b"taken out")
                await net.advance(0)
                net.flush_failures(ValueError)
            with await net.raw("it") as peer:
                await peer.send_all(b"?")
                await peer.receive_all()

    with pytest.raises(ConnectionResetError) as caught:
        drive(main())
    notes = getattr(caught.value, "__notes__", [])
    assert len(notes) == strict
    for note in notes:
        assert note.startswith("In the network, Raises: dataReceived raised on the connection with")
        assert note.endswith("ValueError: b'?' is not mine")


def test_failures_are_only_logged_where_it_is_not_strict() -> None:
    async def main() -> None:
        async with network(strict=False) as net:
            await fail(net, b"a")

    drive(main())


def test_what_the_body_raises_comes_before_a_failure() -> None:
    async def main() -> None:
        async with network() as net:
            await fail(net, b"a")
            raise KeyError("the body's")

    with pytest.raises(KeyError):
        drive(main())


def test_the_example_of_the_docstring_passes() -> None:
    doc = inspect.getdoc(network) or ""
    found = re.search(r"::\n\n(    async with .+?)\n\n", doc, re.DOTALL)
    assert found is not None
    assert "receive_all() ==" in found[1]
    module: dict[str, Any] = {"halfclose": halfclose, "Echo": Echo}
    exec(f"async def test():\n{found[1]}", module)
    drive(module["test"]())
