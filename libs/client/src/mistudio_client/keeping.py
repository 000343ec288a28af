"""What people write for how long a model stays: ``90s``, ``5m``, ``2h``, ``for-good``."""

from __future__ import annotations

import math
import re

from .errors import InvalidArgument

FOR_GOOD = "for-good"
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def parse_keep_alive(text: str) -> float | None:
    """Return the seconds that ``text`` means, None for ``for-good``.

    Parameters
    ----------
    text
        A number with one of the units s, m, h and d; seconds where there is none.

    Raises
    ------
    InvalidArgument
        When ``text`` is no duration.
    """
    if text.strip().lower() == FOR_GOOD:
        return None
    found = _DURATION.fullmatch(text.strip().lower())
    seconds = float(found[1]) * _UNITS[found[2]] if found else math.inf
    if math.isinf(seconds):
        raise InvalidArgument(
            f"{text!r} is no duration.",
            field="keep_alive",
            reason="no_duration",
            remedy=f"Write 90s, 5m, 2h or {FOR_GOOD}.",
        )
    return seconds
