"""Shows signatures as a reader needs them.

- A class that only says which methods an object has (a `typing.Protocol`) is not called, so it has
  no parameters.
- A default that is a function is shown as ``...``, and not by its address.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _sign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _sign(
    app: Sphinx,
    what: str,
    name: str,
    thing: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None] | None:
    if getattr(thing, "_is_protocol", False):
        return "", returns
    if signature is not None:
        signature = re.sub(r"\s*=\s*<function .*?>+(?=[,)])", " = ...", signature)
    return signature, returns
