"""Makes links of the public names that a page mentions as code, once in each section and row.

`ConnectionOptions`, `halfclose.run`, `transport.write`, `backend.connect(...)` and
`loseConnection` lead to their entries in the reference. Unless it is written with its module, a
short word that other libraries have too, such as `Protocol`, is a link in the reference only, and
no word is one on a page about other libraries.
"""

from __future__ import annotations

import re

from docutils import nodes
from public_names import by_public_name, home_of
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain

_NAME = re.compile(r"(?:await )?(?P<name>[A-Za-z_][\w.]*)(?:\(.*\))?")

# A word of two humps at least: nobody else's, or so rarely that the module is written there.
_OWN_WORD = re.compile(r"[A-Z]+[a-z]+[A-Z]\w*")

_OBJECTS = {
    "transport": "halfclose.Transport",
    "backend": "halfclose.Backend",
    "self.transport": "halfclose.Transport",
    "transport.backend": "halfclose.Backend",
}

# There, `StandardIO` is Twisted's, and `loseConnection` may be.
_ABOUT_OTHERS = ("benchmarks", "scorecard", "how-to/moving-from-")

_VERBS_AND_EVENTS = ("halfclose.Transport", "halfclose.HalfCloseableProtocol")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    domain = app.env.domains["py"]
    assert isinstance(domain, PythonDomain)
    linked: set[tuple[int, str]] = set()
    for literal in list(doctree.findall(nodes.literal)):
        if _is_elsewhere(literal):
            continue
        text = literal.astext()
        if docname.startswith(_ABOUT_OTHERS) and not text.startswith("halfclose"):
            continue
        name = _entry(text, domain, docname.startswith("reference/"))
        section = _above(literal, nodes.section, nodes.row)
        if name is None or (id(section), name) in linked:
            continue
        linked.add((id(section), name))
        node = pending_xref(reftarget=name, refdoc=docname, refdomain="py", reftype="obj")
        link = domain.resolve_xref(
            app.env, docname, app.builder, "obj", name, node, literal.deepcopy()
        )
        if link is not None:
            literal.replace_self(link)


def _is_elsewhere(literal: nodes.literal) -> bool:
    """Whether *literal* is in a link or a heading already, or in the reference's own text."""
    kinds = (nodes.reference, nodes.title, nodes.raw)
    return _above(literal, *kinds) is not None or "py" in literal["classes"]


def _above(node: nodes.Node, *kinds: type[nodes.Node]) -> nodes.Node | None:
    """The nearest node of *kinds* around *node*."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return node
    return None


def _entry(text: str, domain: PythonDomain, all_words: bool) -> str | None:
    """The name of the entry of what *text* names; None if it has none.

    :param all_words: whether a short word can only be ours.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    name = found["name"]
    owner, _, member = name.rpartition(".")
    tried = []
    if name.startswith(("halfclose", "examples.", "memory.", "testing.")):
        tried = [name, f"halfclose.{name}", *home_of(owner, member)]
    elif owner in by_public_name():
        tried = home_of(owner, member)
    elif name in by_public_name() and (all_words or _OWN_WORD.fullmatch(name)):
        tried = [by_public_name()[name]]
    elif owner in _OBJECTS:
        tried = home_of(_OBJECTS[owner], member)
    elif re.fullmatch(r"[a-z]+[A-Z]\w*", name):
        tried = [entry for cls in _VERBS_AND_EVENTS for entry in home_of(cls, name)]
    return next((each for each in tried if each in domain.objects), None)
