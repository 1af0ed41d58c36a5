"""The servers that are measured: ours, the peers, and the floor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import metadata

__all__ = ["CATALOGUE", "FLOOR", "OURS", "Server", "named"]

FLOOR = "floor"


@dataclass(frozen=True)
class Server:
    """One row of the table.

    :param name: what the command line and the table call it.
    :param module: the module of `benchmarks.servers` that serves it.
    :param variant: what that module's functions are told.
    :param about: what it is, in a few words.
    :param imports: the statement whose time is the import time of what it needs.
    :param packages: the distributions that it needs and whose versions are reported.
    :param most: how many connections it can hold; None: as many as the system.
    """

    name: str
    module: str
    variant: str
    about: str
    imports: str
    packages: tuple[str, ...] = field(default=())
    most: int | None = None

    @property
    def ours(self) -> bool:
        """Whether it is halfclose's."""
        return self.module == "ours"

    @property
    def loop(self) -> str:
        """What it runs on, which is what those that are compared have in common."""
        return self.name.replace("-", "+").rpartition("+")[2].partition(":")[0]

    @property
    def missing(self) -> str | None:
        """Which distribution is not installed, if one is not."""
        for package in self.packages:
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError:
                return package
        return None


_REACTORS = ("select", "poll", "epoll", "asyncio", "uvloop")


def _our(name: str, packages: tuple[str, ...]) -> Server:
    return Server(
        name,
        "ours",
        name,
        f"halfclose on {name}",
        f"import halfclose; halfclose.run(lambda backend: backend.sleep(0), backend={name!r})",
        ("halfclose", *packages),
    )


def _twisted(variant: str) -> Server:
    uvloop = variant == "uvloop"
    module = "asyncio" if uvloop else variant
    return Server(
        f"twisted-{variant}",
        "on_twisted",
        variant,
        f"a Twisted protocol on the {variant} reactor",
        f"import twisted.internet.protocol, twisted.internet.{module}reactor"
        + ("; import uvloop" if uvloop else ""),
        ("twisted", "uvloop") if uvloop else ("twisted",),
        # select(2) takes no descriptor above 1023.
        1000 if variant == "select" else None,
    )


def _needs(framework: str, variant: str) -> tuple[str, ...]:
    return (framework, variant) if variant in ("uvloop", "trio") else (framework,)


def _run_anyio(backend: str) -> str:
    # It loads its half for an event loop when it first runs one.
    return f"import anyio, anyio.abc; anyio.run(anyio.sleep, 0, backend={backend!r})"


_LANES = (
    *(
        _our(f"anyio+{variant}", ("halfclose-anyio", *_needs("anyio", variant)))
        for variant in ("asyncio", "uvloop", "trio")
    ),
    *(
        _our(f"twisted+{variant}", ("halfclose-twisted", *_needs("twisted", variant)))
        for variant in _REACTORS
    ),
)

_NATIVE = replace(
    next(server for server in _LANES if server.name == "twisted+epoll"),
    name="twisted+epoll:native",
    variant="twisted+epoll:native",
    about="halfclose on twisted+epoll, over Twisted's own transports",
)

CATALOGUE = (
    *_LANES,
    _NATIVE,
    Server(FLOOR, "floor", "", "a bare selectors loop", "import selectors, socket"),
    Server("asyncio", "on_asyncio", "", "an asyncio.Protocol", "import asyncio"),
    Server(
        "uvloop",
        "on_asyncio",
        "uvloop",
        "an asyncio.Protocol on uvloop",
        "import uvloop",
        ("uvloop",),
    ),
    Server(
        "anyio-asyncio",
        "on_anyio",
        "asyncio",
        "an anyio stream on asyncio",
        _run_anyio("asyncio"),
        ("anyio",),
    ),
    Server(
        "anyio-uvloop",
        "on_anyio",
        "uvloop",
        "an anyio stream on uvloop",
        "import uvloop; " + _run_anyio("asyncio"),
        ("anyio", "uvloop"),
    ),
    Server(
        "anyio-trio",
        "on_anyio",
        "trio",
        "an anyio stream on trio",
        _run_anyio("trio"),
        ("anyio", "trio"),
    ),
    Server("trio", "on_trio", "", "a trio stream", "import trio", ("trio",)),
    *(_twisted(variant) for variant in _REACTORS),
    Server(
        "easynetwork",
        "on_easynetwork",
        "",
        "an EasyNetwork transport on asyncio",
        "import easynetwork.lowlevel.api_async.backend.utils as utils; "
        "utils.new_builtin_backend('asyncio')",
        ("easynetwork",),
    ),
)

OURS = tuple(server.name for server in _LANES)


def named(name: str) -> Server:
    """The server of that name.

    :raises KeyError: there is none.
    """
    return _BY_NAME[name]


_BY_NAME = {server.name: server for server in CATALOGUE}
