"""Scripts that once broke the contract."""

from __future__ import annotations

import pytest
from core.support import ANYIO, TWISTED, VARIANTS
from halfclose.testing.exploration import parse_script
from halfclose.testing.exploration.channel_types import explorable
from halfclose.testing.exploration.worker import Worker

FOUND = {
    # A socket that was lost before it was connected failed to send with EPIPE, and that passed
    # for the end of stream of a peer which had reset it.
    "tcp; b on made: raise; a: write 1": (VARIANTS, 1),
    "tcp; b on made: raise; a: lwc": (VARIANTS, 1),
    # An end of stream and a reset before connect had looked: the kernel says EPIPE, and connect
    # said that it had failed.
    "tcp; b on made: lwc, raise": (VARIANTS, 1),
    "tcp; b on made: write 7, lwc, raise; a: write 1": (VARIANTS, 1),
    # The send that took the reset out of the socket told of it one turn later than the receive
    # which then saw an end of stream.
    "native-tcp; b on data: raise; a: write 200000": (("anyio+trio",), 60),
    # Its own half had ended, so loseConnection had nothing to send that would tell of the reset.
    "tcp; b on read: write 1; a: pause, lwc; wait; b: abort; wait; a: lose": (VARIANTS, 1),
    "native-tcp; a: pause, lwc; wait; b: abort; wait; a: lose": (("anyio+trio", *TWISTED), 1),
    "memory; b on read: write 1; a: pause, lwc; wait; b: abort; wait; a: lose": (("memory",), 1),
    # The send failed while reading was paused with input to come, and nobody told the producer
    # that had been paused.
    "memory; water 10 100; a on data: write 21548; stall up; b: push 1 1; wait; "
    "a: push 4 20000, pause; b: write 100; reset down 100": (("memory",), 1),
    # A stall hid what had arrived from who looked whether there was input before the reset.
    "memory; a: pause; b: write 1; wait; stall down; reset down 1; a: write 1": (("memory",), 1),
    # After a failed send a producer was stopped that had unregistered meanwhile, or that was
    # registered no more although it had not been told.
    "unix; a raw; b: pull 1 1; a: lose": (VARIANTS, 1),
    "unix; b on data: raise; a: pull 2 1": (VARIANTS, 1),
    "tcp; b on data: raise; b: push 1 1, write 700000; a: pull 2 1": (VARIANTS, 1),
    "tcp; a on made: pull 0 0; b: lwc, abort; a: write 1, pull 0 0": (VARIANTS, 1),
    "anyio-unix; a raw; b on data: raise; b: pull 0 0; a: write 1; a: abort; b: write 1": (
        ANYIO,
        1,
    ),
    "memory; a raw; a: write 1; b: pull 0 0; reset up 1; b: write 1; b: push 0 0": (
        ("memory",),
        1,
    ),
    # No defect of any backend: what an end did depended on how its input was cut.
    "native-tcp; water 1000 30000; a on made: write 1, write 65537; "
    "b on data 65536: lwc, write 0; b on data: write 0, write 1": (("anyio+trio",), 5),
    # What had been sent past Twisted's buffer left the socket not writable, for which Twisted
    # waits before it ends its half.
    "native-unix; a on data: pause; b on data: write 70000; a: write 1; wait; b: stop": (
        TWISTED,
        1,
    ),
    # No defect either: an abort may overtake an end of stream of the same turn.
    "native-tcp; b: lose, abort": (VARIANTS, 1),
    "native-tcp; b: lwc, abort": (VARIANTS, 1),
    # After a failed send the end of our half was told all the same.
    "native-unix; turns 2; b: abort; a: write 1, lwc": (ANYIO, 5),
    # No defect: a backend that serves one stream is left when that is over, and whoever registers
    # then is stopped at once.
    "anyio-tcp; a raw; b: abort; wait; b: push 0 0": (ANYIO, 1),
    "anyio-unix; a raw; b on data: raise; a: write 1; wait; b: pull 0 0": (ANYIO, 1),
}
"""Each script, the variants that broke it, and how often it has to be kept."""


@pytest.mark.parametrize(
    ("script", "variant"),
    [(script, variant) for script, (variants, _) in FOUND.items() for variant in variants],
)
def test_it_is_kept_now(script: str, variant: str) -> None:
    _, times = FOUND[script]
    with Worker(variant, explorable(variant)) as worker:
        for _ in range(times):
            outcome = worker.perform(parse_script(script))
            assert outcome.broken == "", "\n".join(outcome.trace)
