"""Every picture, by the name of its file in docs/pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .half_close import half_close
from .ladder_picture import ladder_picture
from .layers_picture import layers_picture
from .life_cycle import life_cycle
from .recording import narrow_recording, recording

__all__ = ["FOLDER", "PICTURES"]

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"

PICTURES: dict[str, Callable[[], str]] = {
    "half-close": half_close,
    "ladder": ladder_picture,
    "life-cycle": life_cycle,
    "layers": layers_picture,
    "terminal": recording,
    "terminal-narrow": narrow_recording,
}
