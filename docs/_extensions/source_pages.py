"""Makes a page of each file and folder of the repository that a page links to as ``source:PATH``.

The page of a file is its text, with line numbers: ``source:PATH#L7`` leads to its seventh line. The
page of a folder lists what is in it. Everything documented links to its source in the same way.
"""

from __future__ import annotations

import html
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from repository import ROOT
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.config import Config

_SCHEME = "source:"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", _link_the_code)
    # After linkcode, which makes links of this scheme.
    app.connect("doctree-read", _note, priority=900)
    app.connect("doctree-resolved", _resolve)
    app.connect("html-collect-pages", _pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _link_the_code(app: Sphinx, config: Config) -> None:
    config.linkcode_resolve = _source_of


def _source_of(domain: str, info: dict[str, str]) -> str | None:
    """Where the documented object is defined; called by linkcode."""
    found: Any = importlib.import_module(info["module"])
    try:
        for name in info["fullname"].split("."):
            found = getattr(found, name)
        if isinstance(found, property):
            found = found.fget
        found = inspect.unwrap(found)
        file = inspect.getsourcefile(found)
        line = inspect.getsourcelines(found)[1]
    except (AttributeError, TypeError, OSError):
        return None  # A constant, or an attribute that only instances have.
    path = Path(file or "").resolve()
    if not path.is_relative_to(ROOT) or path.is_relative_to(sys.prefix):
        return None  # Another's, such as a method of an exception.
    return f"{_SCHEME}{path.relative_to(ROOT)}#L{line}"


def _links(doctree: nodes.document) -> Iterator[tuple[nodes.reference, str, str]]:
    """The links to sources, each with its path and its anchor."""
    for node in doctree.findall(nodes.reference):
        if node.get("refuri", "").startswith(_SCHEME):
            path, _, anchor = node["refuri"].removeprefix(_SCHEME).partition("#")
            yield node, path, anchor


def _note(app: Sphinx, doctree: nodes.document) -> None:
    metadata: dict[str, Any] = app.env.metadata[app.env.docname]
    metadata["sources"] = sorted({path for _, path, _ in _links(doctree)})


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    for node, path, anchor in list(_links(doctree)):
        uri = app.builder.get_relative_uri(docname, _name(ROOT / path))
        line = anchor.removeprefix("L")
        node["refuri"] = f"{uri}#L-{line}" if line.isdecimal() else uri


def _name(path: Path) -> str:
    """The name of the page of *path*."""
    name = f"source/{path.relative_to(ROOT)}"
    return f"{name}/index" if path.is_dir() else name


def _listed(folder: Path) -> list[Path]:
    """What of *folder* is for readers, folders first."""
    found = (p for p in folder.iterdir() if p.name[0] != "." and p.name != "__pycache__")
    return sorted(found, key=lambda path: (path.is_file(), path.name))


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    builder = app.builder
    assert isinstance(builder, StandaloneHTMLBuilder)
    noted: list[str] = [
        path for data in app.env.metadata.values() for path in data.get("sources", ())
    ]
    waiting = [ROOT / path for path in sorted(set(noted))]
    done: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        name = _name(path)
        if path.is_dir():
            inside = _listed(path)
            waiting += inside
            body = _list_of(builder, name, inside)
        else:
            body = _text_of(builder, path)
        title = str(path.relative_to(ROOT))
        yield name, {"title": title, "body": f"<h1>{html.escape(title)}</h1>{body}"}, "page.html"


def _list_of(builder: StandaloneHTMLBuilder, name: str, inside: list[Path]) -> str:
    items = (
        f'<li><a href="{builder.get_relative_uri(name, _name(path))}">'
        f"{html.escape(path.name)}{'/' if path.is_dir() else ''}</a></li>"
        for path in inside
    )
    return f"<ul>{''.join(items)}</ul>"


def _text_of(builder: StandaloneHTMLBuilder, path: Path) -> str:
    # Something that is no text may lie in a folder, such as what a tool has left there.
    text = path.read_text(errors="replace")
    try:
        language = get_lexer_for_filename(path.name).aliases[0]
    except ClassNotFound:
        language = "text"
    return builder.highlighter.highlight_block(
        text, language, linenos="inline", lineanchors="L", anchorlinenos=True, force=True
    )
