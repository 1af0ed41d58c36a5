"""Writes anew the parts of pages that are made from the code."""

from __future__ import annotations

from documents.blocks import ROOT
from documents.made import MADE, anew

for page in MADE:
    (ROOT / page).write_text(anew(page))
