"""How Sphinx makes the site of these pages; CONTRIBUTING.md has the command."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "halfclose"
author = "The halfclose authors"
copyright = "the halfclose authors"
release = version = version_of("halfclose")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.linkcode",
    "sphinx_copybutton",
    # Our own, in _extensions.
    "data_docs",
    "indexed_options",
    "linked_names",
    "linked_rules",
    "outside_pages",
    "public_names",
    "signatures",
    "source_pages",
]
root_doc = "index"
exclude_patterns = ["_build", "_extensions", "_static"]

# Headings have the anchors that a forge gives them.
myst_heading_anchors = 4

# The reference: `Name` in a docstring is a link, and a link that leads nowhere is an error.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    # Other people's names: their documentation is elsewhere, and a build that asks for it would
    # need the network.
    (r"py:.*", r"(collections|contextlib|contextvars|enum|os|socket|types|typing)\..*"),
    (r"py:.*", r"(abc\.ABC|CollectError|_pytest\..*|(pluggy\.)?PluginManager.*)"),
    # What the library makes and passes on, and no program makes: of what a `Network` consists, how
    # a backend and its connections know each other, and what marks a rule.
    (r"py:class", r"halfclose\.memory\.(\w+\.(Dialing|Listening|Pipe|Scheduler)|backend\..*)"),
    (
        r"py:class",
        r"(halfclose\.(io\.)?host\.)?(ClosedChannels|ConnectionHost|HeldConnection|SocketHost)",
    ),
    (r"py:class", r"halfclose\.(deadline|plugins|io\.(driver|lingering))\.\w+"),
    (r"py:class", r"halfclose\.io\.unix_paths\.OwnPath|Where"),
    (r"py:class", r"halfclose\.testing\..*\.(Rule|RawListener|_Recording)"),
]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = "halfclose"
html_static_path = ["_static"]
html_css_files = ["pictures.css", "site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
