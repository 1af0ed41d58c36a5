"""What a script that was performed has come to."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from .script import Script

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """One script on one backend, and how it broke the contract, if it did.

    :param backend: the backend's name.
    :param script: what was performed.
    :param broken: what was seen first that the contract forbids, after the rule's id and the
        end's name; empty if nothing was.
    :param trace: the calls and the events of both ends, in order.
    :param again: whether it was seen again when the script was performed once more.
    """

    backend: str
    script: Script
    broken: str = ""
    trace: tuple[str, ...] = ()
    again: bool = True

    @property
    def passed(self) -> bool:
        """Whether nothing broke the contract."""
        return not self.broken

    @property
    def rule(self) -> str:
        """The id of the rule that was broken; empty if none was."""
        return self.broken.partition(":")[0]

    @property
    def channel_type(self) -> str:
        """The type of channel."""
        return self.script.channel_type

    @property
    def command(self) -> str:
        """What performs the script again, for a shell."""
        return f"halfclose explore {self.backend} --replay {shlex.quote(str(self.script))}"

    def __str__(self) -> str:
        """The whole, for people."""
        where = f"{self.backend}, {self.channel_type}"
        if self.passed:
            return f"{where}: the contract was kept"
        doubt = [] if self.again else ["It was seen once, and not again: it is a matter of timing."]
        return "\n".join(
            [
                f"{self.broken} ({where})",
                *doubt,
                "",
                *(f"    {line}" for line in self.trace),
                "",
                f"Again: {self.command}",
            ]
        )
