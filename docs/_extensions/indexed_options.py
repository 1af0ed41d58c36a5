"""Puts each option, and each environment variable, of the reference into the index."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_PAGE = "reference/options"
_KINDS = {"option": "option", "variable": "environment variable"}
"""What a table lists, by the head of its first column."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(_Index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class _Index(SphinxTransform):
    default_priority = 800  # before Sphinx collects the index of a page

    def apply(self, **kwargs: Any) -> None:
        if self.env.docname == _PAGE:
            for table in self.document.findall(nodes.table):
                _index(table)


def _index(table: nodes.table) -> None:
    head, *rows = table.findall(nodes.row)
    kind = _KINDS.get(head[0].astext())
    for row in rows if kind else ():
        cell = next(row.findall(nodes.entry))
        name = cell.astext()
        place = nodes.make_id(f"{kind}-{name}")
        entry = ("single", f"{name} ({kind})", place, "", None)
        cell.insert(0, [addnodes.index(entries=[entry]), nodes.target("", "", ids=[place])])
