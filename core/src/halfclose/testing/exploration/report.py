"""The result of performing a script, for people."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from .script import Script

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """What happened when a script was performed on a backend.

    :param backend: the backend's name.
    :param script: the script.
    :param broken: the first violation of the contract: the rule's id, the end's name, and what was
        seen. Empty if the contract was kept.
    :param trace: the calls and the events of both ends, in order.
    :param again: whether the violation was seen again when the script was performed again.
    """

    backend: str
    script: Script
    broken: str = ""
    trace: tuple[str, ...] = ()
    again: bool = True

    @property
    def passed(self) -> bool:
        """Whether the contract was kept."""
        return not self.broken

    @property
    def rule(self) -> str:
        """The id of the rule that was broken; empty if none was."""
        return self.broken.partition(":")[0]

    @property
    def channel_type(self) -> str:
        """The name of the type of channel."""
        return self.script.channel_type

    @property
    def command(self) -> str:
        """The shell command that performs the script again."""
        return f"halfclose explore {self.backend} --replay {shlex.quote(str(self.script))}"

    def __str__(self) -> str:
        """The whole report, with the trace if the contract was broken."""
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
