"""Shows on the site what is outside of this folder: documents, sources and folders.

A page whose first line is ``<!-- page: PATH -->`` has the text of the document *PATH*, such as
CONTRIBUTING.md. A link to that document, from any page, leads to that page. A link to any other
file or folder of the repository becomes ``source:PATH``, which `source_pages` makes a page of.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from repository import ROOT, rewritten
from sphinx.application import Sphinx
from sphinx.config import Config

_STUB = re.compile(r"<!-- page: (\S+) -->\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", _know_the_scheme)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _know_the_scheme(app: Sphinx, config: Config) -> None:
    config.myst_url_schemes = {"http": None, "https": None, "mailto": None, "source": None}


def _shown(page: Path) -> Path:
    """The document that *page* shows: itself, or one outside."""
    stub = _STUB.match(page.read_text())
    return (page.parent / stub[1]).resolve() if stub else page


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    docs = Path(app.srcdir).resolve()
    page = docs / f"{docname}.md"
    document = _shown(page)
    text = source[0] if document == page else document.read_text()
    homes = {_shown(stub): stub for stub in docs.glob("project/*.md")}

    def link(target: str, anchor: str) -> str | None:
        path = Path(os.path.normpath(document.parent / target))
        if not path.exists() or not path.is_relative_to(ROOT):
            return None  # Sphinx says so.
        if path in homes or (path.is_relative_to(docs) and path.is_file()):
            return os.path.relpath(homes.get(path, path), page.parent) + anchor
        return f"source:{path.relative_to(ROOT)}{anchor}"

    text = rewritten(text, link)
    # Whether a table of contents has them is for the index to say.
    source[0] = text if document == page else f"---\norphan: true\n---\n{text}"
