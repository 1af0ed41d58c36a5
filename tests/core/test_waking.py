"""A signal that interrupts no sleep still has its handler run at once."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from halfclose import Backend
from halfclose.io.waking import WakeOnSignals

from .support import VARIANTS, descriptors, python, run

SERVER = """
    import contextlib, os, signal, sys, threading, time
    import halfclose
    from halfclose.cli import report, serving

    def asleep():
        main = os.getpid()
        with open(f"/proc/self/task/{{main}}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "S"

    def signal_this_thread():
        # The system gives a process's signal to any thread. The main one has long begun to sleep
        # when it is seen asleep so often.
        seen = 0
        while seen < 50:
            seen = seen + 1 if asleep() else 0
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), {number})

    def said(text):
        print(text.split(";")[0].split(" on ")[0], flush=True)
        if text.startswith("listening"):
            threading.Thread(target=signal_this_thread, daemon=True).start()

    serving.say = said
    endpoint = halfclose.TCP("127.0.0.1", 0)
    serving.serve(halfclose.Protocol, endpoint, {variant!r}, halfclose.ConnectionOptions(), 5.0)
    assert signal.set_wakeup_fd(-1) == -1
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_server_hears_a_signal_that_interrupts_no_sleep(variant: str) -> None:
    code = SERVER.format(variant=variant, number=int(signal.SIGTERM))
    assert python(code, warm=True).splitlines() == ["listening", "closing"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_descriptor_that_is_told_already_is_left_in_its_place(variant: str) -> None:
    async def main(backend: Backend) -> None:
        before = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        first, second = WakeOnSignals(backend), WakeOnSignals(backend)
        told = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        assert told >= 0
        assert before in (-1, told)
        second.close()
        assert signal.set_wakeup_fd(told) == told
        first.close()
        first.close()
        assert signal.set_wakeup_fd(before, warn_on_full_buffer=False) == before

    run(main, variant=variant)
    here = len(descriptors())
    run(main, variant=variant)
    assert len(descriptors()) == here


@pytest.mark.parametrize("variant", VARIANTS)
def test_somebody_elses_is_not_taken_away(variant: str) -> None:
    async def main(backend: Backend) -> None:
        before = signal.set_wakeup_fd(-1)
        waker = WakeOnSignals(backend)
        reader, writer = os.pipe()
        try:
            os.set_blocking(writer, False)
            signal.set_wakeup_fd(writer)
            waker.close()
            assert signal.set_wakeup_fd(before, warn_on_full_buffer=False) == writer
        finally:
            os.close(reader)
            os.close(writer)

    run(main, variant=variant)
