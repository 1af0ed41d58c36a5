"""How Sphinx makes the site of these pages; CONTRIBUTING.md has the command."""

from importlib.metadata import version as version_of

project = "halfclose"
author = "The halfclose authors"
copyright = "the halfclose authors"
release = version = version_of("halfclose")

extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["_build"]

myst_heading_anchors = 4

html_theme = "furo"
html_title = "halfclose"
