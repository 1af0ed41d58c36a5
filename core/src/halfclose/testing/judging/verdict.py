"""What came of one rule on one type of channel."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Verdict"]


@dataclass(frozen=True)
class Verdict:
    """One rule, held to on one type of channel of one backend, under one host.

    :param rule: the rule's id.
    :param backend: the backend's name.
    :param channel_type: the type of channel's name.
    :param passed: whether the rule was kept.
    :param seconds: how long that took.
    :param text: the rule, as the contract has it, and where to look if it is broken.
    :param what: what was seen instead, in one line; empty if it was kept.
    :param report: everything that is known about that: the traceback, the events, the log.
    :param host: the name of who started the loop.
    """

    rule: str
    backend: str
    channel_type: str
    passed: bool
    seconds: float
    text: str
    what: str = ""
    report: str = ""
    host: str = "halfclose.run"

    @property
    def statement(self) -> str:
        """The rule itself, in one line."""
        return " ".join(self.text.partition("Where to look:")[0].split())

    @property
    def where(self) -> str:
        """Where to look, in one line."""
        return " ".join(self.text.partition("Where to look:")[2].split())

    @property
    def place(self) -> str:
        """The type of channel, and the host where it is not `halfclose.run`."""
        return (
            self.channel_type
            if self.host == "halfclose.run"
            else f"{self.channel_type} under {self.host}"
        )

    def __str__(self) -> str:
        """The whole of a failure, for people."""
        where = f"{self.rule} on {self.backend}, {self.place}"
        if self.passed:
            return f"{where}: kept"
        parts = [
            f"{where}: {self.what}",
            f"The rule: {self.statement}",
            f"Where to look: {self.where}",
            self.report,
        ]
        return "\n\n".join(part for part in parts if part)
