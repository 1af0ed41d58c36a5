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

    for sockets in ("lane", "native"):
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
    assert python(code) == "done\n"
