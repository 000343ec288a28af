"""What lies in a cache root and is complete, by fingerprint."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from mistudio_contracts.reports import OnDisk

from .artifacts import MANIFEST, find_artifact
from .canonical import FACTS, has_dataset

_FINGERPRINT = re.compile(r"[0-9a-f]{16,64}")


def artifacts(root: Path) -> list[OnDisk]:
    """Return every complete artifact; one that is being made is in the staging yet."""
    return _complete(root, MANIFEST, lambda name: find_artifact(root, name) is not None)


def datasets(root: Path) -> list[OnDisk]:
    """Return every complete canonical dataset."""
    return _complete(root, FACTS, lambda name: has_dataset(root, name))


def _complete(root: Path, last: str, is_complete: Callable[[str], bool]) -> list[OnDisk]:
    found = []
    for directory in sorted(root.iterdir()):
        name = directory.name
        if not _FINGERPRINT.fullmatch(name) or not is_complete(name):
            continue
        try:
            written = (directory / last).stat().st_mtime
        except FileNotFoundError:
            # Deleted while it was looked at.
            continue
        at = datetime.fromtimestamp(written, timezone.utc)
        found.append(OnDisk(fingerprint=name, written_at=at))
    return found
