"""Names of hook points."""

from __future__ import annotations

import re

_RESID_POST = re.compile(r"layers\.(\d+)\.resid_post")


def layer_of(hook_point: str) -> int:
    """Return the block of a hook point such as ``layers.6.resid_post``.

    Raises
    ------
    ValueError
        When it is no hook point of this version.
    """
    match = _RESID_POST.fullmatch(hook_point)
    if match is None:
        raise ValueError(f"{hook_point!r} is no hook point; they read layers.N.resid_post")
    return int(match.group(1))
