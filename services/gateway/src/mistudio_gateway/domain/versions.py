"""ETags of models: the moment of the last change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone

_TAG = re.compile(r'(?:W/)?"([^"]*)"|(\*)')


def etag_of(updated_at: datetime) -> str:
    """Return the entity tag of a row that was last changed then."""
    moment = updated_at.astimezone(timezone.utc).isoformat(timespec="microseconds")
    return f'"{moment.replace("+00:00", "Z")}"'


def tags_in(header: str) -> list[str]:
    """Return the tags an If-Match or If-None-Match header names, without quotes; ``*`` for any."""
    return [match.group(1) or match.group(2) or "" for match in _TAG.finditer(header)]


def is_among(updated_at: datetime, header: str) -> bool:
    """Whether the header names this version."""
    mine = etag_of(updated_at).strip('"')
    return any(tag in ("*", mine) for tag in tags_in(header))


def moments_in(tags: Iterable[str]) -> list[datetime]:
    """Return the moments that tags of ours stand for; others are left out."""
    found = []
    for tag in tags:
        try:
            found.append(datetime.fromisoformat(tag.replace("Z", "+00:00")))
        except ValueError:
            continue
    return [moment for moment in found if moment.tzinfo is not None]
