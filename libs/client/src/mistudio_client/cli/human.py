"""Quantities as people read them."""

from __future__ import annotations

from datetime import datetime

from mistudio_contracts.base import utcnow

NONE = "-"


def size(count: float | None) -> str:
    """Return bytes in a fitting unit: ``1.5 GiB``."""
    if count is None:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def number(count: float | None) -> str:
    """Return a large count in a fitting unit: ``135 M``."""
    if count is None:
        return NONE
    for unit in ("", " k", " M", " G"):
        if abs(count) < 1000 or unit == " G":
            return f"{count:.3g}{unit}"
        count /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float | None) -> str:
    """Return a duration: ``0.42 s``, ``3 min 5 s``, ``2 h 10 min``, ``4 d 3 h``."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was: ``5 min ago``."""
    if moment is None:
        return NONE
    seconds = max(0, int(((now or utcnow()) - moment).total_seconds()))
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def figure(value: float | None) -> str:
    """Return a measured value with four digits."""
    return NONE if value is None else f"{value:.4g}"
