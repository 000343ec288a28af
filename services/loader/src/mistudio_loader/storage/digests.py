"""SHA-256 of local source files, remembered so that unchanged files are read once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

DIGESTS = ".digests"


class Stamp(BaseModel):
    """What must be unchanged for a remembered digest to hold. Times in nanoseconds."""

    model_config = ConfigDict(frozen=True)

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Return the stamp of a file as it is now."""
        found = path.stat()
        return cls(size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)


class _Entry(BaseModel):
    stamp: Stamp
    sha256: str


class DigestIndex:
    """One small file a source file under ``root/.digests``, named by the hash of its path."""

    def __init__(self, root: Path) -> None:
        self._directory = root / DIGESTS

    def get(self, path: Path) -> str | None:
        """Return the digest of a file that is as it was when it was hashed, else None."""
        try:
            entry = _Entry.model_validate_json(self._file(path).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return entry.sha256 if entry.stamp == Stamp.of(path) else None

    def put(self, path: Path, stamp: Stamp, sha256: str) -> None:
        """Remember the digest that ``path`` had while its stamp was ``stamp``."""
        self._directory.mkdir(parents=True, exist_ok=True)
        # Half an entry is none; a file of another name could stay behind for ever.
        self._file(path).write_text(_Entry(stamp=stamp, sha256=sha256).model_dump_json())

    def _file(self, path: Path) -> Path:
        return self._directory / hashlib.sha256(str(path).encode()).hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return indented JSON with sorted keys and a final newline."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
