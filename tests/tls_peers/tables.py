"""The tables of docs/tls.md, made from what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .catalogue import Seen
from .conversation import BARE
from .own_programs import FRAMEWORKS, OWN_PROGRAMS
from .peer import Peer
from .relays import HTTP_PROXIES, RELAYS
from .results import load
from .setting import Side
from .tools import HTTP_TOOLS, TOOLS

__all__ = ["frameworks", "http", "libraries", "programs"]

_HEAD = (
    "| peer | as | its late answer, after our end | our late answer, after its end | its end |\n"
    "| --- | --- | --- | --- | --- |"
)


def libraries() -> str:
    """TLS of other languages and libraries."""
    return _table(OWN_PROGRAMS)


def programs() -> str:
    """Tunnels, proxies and tools."""
    return _table((*RELAYS, *TOOLS))


def frameworks() -> str:
    """Other frameworks of Python."""
    return _table(FRAMEWORKS)


def http() -> str:
    """Programs that speak HTTP."""
    recorded = load()
    rows = ["| peer | what was asked | how much of the answer came |", "| --- | --- | --- |"]
    for side, what in _HTTP.items():
        for peer in (*HTTP_PROXIES, *HTTP_TOOLS):
            for seen in set(recorded.seen[peer.name].get(side, {}).values()):
                came = seen.answered if side == "server" else seen.received
                rows.append(f"| {peer.name} ({recorded.programs[peer.name]}) | {what} | {came} |")
    return "\n".join(rows)


_HTTP: dict[Side, str] = {
    "server": "we asked, and ended our half",
    "client": "it asked, and our answer ended with close_notify",
}


def _table(peers: Iterable[Peer]) -> str:
    recorded = load()
    rows = [_HEAD]
    for peer in peers:
        name = f"{peer.name} ({recorded.programs[peer.name]})"
        for label, seen in _labels(recorded.seen[peer.name]):
            rows.append(f"| {name} | {label} | {' | '.join(_cells(seen))} |")
            name = ""
    return "\n".join(rows)


def _labels(sides: Mapping[Side, Mapping[str, Seen]]) -> Iterable[tuple[str, Seen]]:
    """What was seen, each once, and where it was seen."""
    found: dict[Seen, dict[str, list[str]]] = {}
    for side, versions in sides.items():
        for version, seen in versions.items():
            found.setdefault(seen, {}).setdefault(side, []).append(version)
    for seen, where in found.items():
        versions_of = {tuple(versions) for versions in where.values()}
        assert len(versions_of) == 1, where
        (versions_,) = versions_of
        label = " and ".join(where)
        if len(versions_) == 1:
            label += f", TLS {versions_[0]}"
        yield label, seen


def _cells(seen: Seen) -> Iterable[str]:
    yield seen.answered or "-"
    yield (seen.received or "-") + (r" \*" if seen.end == BARE else "")
    yield seen.end or "-"
