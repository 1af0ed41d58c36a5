"""Makes a link of each id of a rule that a page or a docstring mentions.

`EVT-05` leads to the contract, where each rule has its id as its address. A rule that is not there
makes a link that leads nowhere, which the check of the site finds.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

_RULE = re.compile(r"\b((?:EVT|VRB|FLU|PRD|ERR|END|PIP|LOOP)-\d\d)\b")

_CONTRACT = "contract"

_ELSEWHERE = (nodes.reference, nodes.title, nodes.literal, nodes.literal_block, nodes.raw)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if not isinstance(app.builder, StandaloneHTMLBuilder) or docname == _CONTRACT:
        return
    contract = app.builder.get_relative_uri(docname, _CONTRACT)
    for text in list(doctree.findall(nodes.Text)):
        if not _RULE.search(text) or _is_elsewhere(text):
            continue
        pieces: list[nodes.Node] = []
        for index, piece in enumerate(_RULE.split(text)):
            if index % 2:
                uri = f"{contract}#{piece.lower()}"
                pieces.append(nodes.reference("", piece, internal=True, refuri=uri))
            elif piece:
                pieces.append(nodes.Text(piece))
        assert text.parent is not None
        text.parent.replace(text, pieces)


def _is_elsewhere(node: nodes.Node) -> bool:
    """Whether *node* is in a link already, in a heading or in code."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, _ELSEWHERE):
            return True
    return False
