"""The layers of core: imports go one way, and no circle is in any distribution."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import halfclose
import halfclose_anyio
import halfclose_twisted
import pytest
from core.layers import arrows, circle, homeless, read, wrong

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def declared() -> list[str]:
    """The order of the layers, as docs/architecture.md has it, the lowest first."""
    section = ARCHITECTURE.read_text().partition("\n## Layers\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| [^|`]+ \| (`[^|]+`) \|", section, re.MULTILINE)
    return [name.rstrip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row)]


def sources(package: ModuleType) -> dict[str, str]:
    assert package.__file__ is not None
    return read(Path(package.__file__).parent)


CORE = sources(halfclose)


def test_the_order_is_declared_of_every_module() -> None:
    order = declared()
    assert order.index("host") < order.index("io") < order.index("backend")
    assert len(order) == len(set(order))
    there = {path.split("/")[1].removesuffix(".py") for path in CORE} - {"__init__", "__main__"}
    assert homeless(CORE, order) == [], "docs/architecture.md gives these no layer"
    assert set(order) == there, "docs/architecture.md has a layer of what is not there"


def test_core_imports_downwards_only() -> None:
    complaints = wrong(arrows(CORE), declared())
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("package", [halfclose, halfclose_anyio, halfclose_twisted])
def test_no_circle(package: ModuleType) -> None:
    assert circle(arrows(sources(package))) is None


# -- the check itself ------------------------------------------------------------------------------


def test_every_kind_of_import_is_an_arrow() -> None:
    others = dict.fromkeys(["p/__init__.py", "p/b.py", "p/q/__init__.py", "p/q/c.py"], "")
    for line, imported in {
        "from . import b": "p.b",
        "from .b import B": "p.b",
        "import p.b": "p.b",
        "from p import b": "p.b",
        "from p.b import B as C": "p.b",
        "import p.q.c as c": "p.q.c",
        "from .q import c": "p.q.c",
        "from .q import C": "p.q",
        "from . import version": "p",
        "from .q.c import (\n    C,\n)": "p.q.c",
        "if TYPE_CHECKING:\n    from .b import B": "p.b",
        "def f():\n    from .b import B": "p.b",
        "class C:\n    async def f(self):\n        import p.b": "p.b",
    }.items():
        found = arrows({**others, "p/a.py": line})
        assert [(arrow.importer, arrow.imported) for arrow in found] == [("p.a", imported)], line


def test_dots_lead_up_from_modules_and_from_packages() -> None:
    for path, line in {
        "p/q/a.py": "from ..b import B",
        "p/q/__init__.py": "from ..b import B",
        "p/q/r/a.py": "from ...b import B",
        "p/__init__.py": "from .b import B",
    }.items():
        [arrow] = arrows({"p/b.py": "", path: line})
        assert arrow.imported == "p.b", path


def test_what_is_no_arrow() -> None:
    text = "import os, pytest\nfrom pb import b\nfrom .a import A\n'from .b import B'"
    assert arrows({"p/a.py": text, "p/b.py": ""}) == []


def test_a_planted_circle_is_told() -> None:
    files = {
        "p/a.py": "from .b import B",
        "p/b.py": "if TYPE_CHECKING:\n    from .c import C",
        "p/c.py": "def f():\n    from . import a",
        "p/d.py": "from . import a",
    }
    told = circle(arrows(files))
    assert told is not None
    steps = told.split(" -> ")
    assert steps[0] == steps[-1]
    assert set(pairwise(steps)) == {("p.a", "p.b"), ("p.b", "p.c"), ("p.c", "p.a")}
    del files["p/c.py"]
    assert circle(arrows(files)) is None


def test_a_package_and_its_module_can_be_a_circle() -> None:
    files = {"p/__init__.py": "from .a import A", "p/a.py": "from . import version"}
    assert circle(arrows(files)) in ("p -> p.a -> p", "p.a -> p -> p.a")


def test_a_planted_arrow_upwards_is_named() -> None:
    files = {
        "p/io/driver.py": "import os\nfrom ..backend import B",
        "p/backend.py": "",
        "p/host.py": "",
    }
    order = ["host", "io", "backend"]
    assert wrong(arrows(files), order) == [
        "p.io.poller -> p.backend (line 2): io may import host and what is below"
    ]
    assert wrong(arrows({**files, "p/io/driver.py": "from ..host import H"}), order) == []
    assert wrong(arrows({"p/host.py": "from . import io", "p/io/__init__.py": ""}), order) == [
        "p.host -> p.io (line 1): host may import nothing"
    ]


def test_the_package_itself_is_above_all() -> None:
    files = {"p/__init__.py": "from .a import A", "p/__main__.py": "from . import A", "p/a.py": ""}
    assert wrong(arrows(files), ["a"]) == []
    assert wrong(arrows({**files, "p/a.py": "from . import version"}), ["a"]) == [
        "p.a -> p (line 1): a may import nothing"
    ]


def test_a_module_without_a_layer_is_told() -> None:
    assert homeless({"p/__init__.py": "", "p/a.py": "", "p/tls/b.py": ""}, ["a"]) == ["p.tls.b"]
