"""What each case would import in a process of its own is imported here, once."""

from __future__ import annotations

from warm import import_everything

import_everything()
