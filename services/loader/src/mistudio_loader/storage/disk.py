"""Room on the disk, and writes that last."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mistudio_contracts.errors import InsufficientStorage

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMEDY = "Delete models, datasets or activation caches that are no longer needed."


def require_space(directory: Path, needed: int, reserve: int) -> None:
    """Check that ``needed`` bytes can be written and ``reserve`` bytes stay free.

    Raises
    ------
    InsufficientStorage
        With ``required_bytes`` and ``available_bytes``.
    """
    available = max(shutil.disk_usage(directory).free - reserve, 0)
    if needed > available:
        raise InsufficientStorage(
            f"This needs {needed} bytes of disk and {available} are free.",
            reason="disk_full",
            required_bytes=needed,
            available_bytes=available,
            remedy=_REMEDY,
        )


@contextlib.contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Turn a full disk, seen while writing, into the contract's error.

    Raises
    ------
    InsufficientStorage
        With ``available_bytes``.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise InsufficientStorage(
            "The disk became full while writing.",
            reason="disk_full",
            available_bytes=shutil.disk_usage(directory).free,
            remedy=_REMEDY,
        ) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file and force it to the disk."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tree_bytes(path: Path) -> int:
    """Return the bytes of all files under ``path``."""
    return sum(p.lstat().st_size for p in path.rglob("*") if not p.is_dir())
