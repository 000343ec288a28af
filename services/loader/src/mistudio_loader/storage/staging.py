"""Directories under construction, and how they become visible or vanish.

A staging directory is held by a lock on a file beside it. The system lets go of the lock when its
process dies, however it dies; so whoever can take the lock knows that the directory is dead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .disk import sync_directory

logger = logging.getLogger(__name__)

STAGING = ".staging"
TRASH = ".trash"
HUB = ".hub"
LOCK = ".lock"
WAITING = ".waiting"
MADE = ".made"
"""In a download: the fingerprint of what became of it."""


class Workshop:
    """The hidden corner of a cache root where things are made and unmade.

    Parameters
    ----------
    root
        ``MODEL_CACHE_DIR`` or ``DATASET_CACHE_DIR``; made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = root / STAGING
        self._trash = root / TRASH
        for directory in (self._staging, self._trash):
            directory.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def stage(self, task_id: str) -> Iterator[Path]:
        """Yield a fresh directory for a task; it is gone afterwards unless published."""
        directory = self._staging / f"{task_id}.{secrets.token_hex(4)}"
        lock = lock_of(directory)
        with lock:
            directory.mkdir()
            try:
                yield directory
            finally:
                shutil.rmtree(directory, ignore_errors=True)
                Path(lock.lock_file).unlink(missing_ok=True)

    def publish(self, directory: Path, name: str) -> bool:
        """Make a finished staging directory visible as ``root/name``.

        Returns
        -------
        bool
            False when the name was taken: somebody else finished first.
        """
        for file in sorted(directory.rglob("*")):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        sync_directory(directory)
        target = self.root / name
        try:
            directory.rename(target)
        except OSError:
            if target.is_dir():
                return False
            raise
        sync_directory(self.root)
        return True

    def remove(self, name: str) -> None:
        """Delete ``root/name``: it vanishes at once, its bytes soon after."""
        discard(self.root / name, self._trash)

    def sweep(self) -> None:
        """Delete what dead tasks left behind, and what was being deleted."""
        for lock_file in self._staging.glob("*.lock"):
            _sweep_one(lock_file.with_suffix(""), self._trash)
        for directory in self._staging.iterdir():
            if directory.is_dir():
                _sweep_one(directory, self._trash)
        for doomed in self._trash.iterdir():
            shutil.rmtree(doomed, ignore_errors=True)
        self._sweep_downloads()

    def _sweep_downloads(self) -> None:
        """Delete downloads that have become artifacts, and locks of what is no more."""
        files = {*(self.root / HUB).glob(f"*@*{LOCK}"), *(self.root / HUB).glob(f"*@*{WAITING}")}
        for directory in {file.with_suffix("") for file in files}:
            if not directory.exists() or self._is_made(directory):
                _sweep_one(directory, self._trash)

    def _is_made(self, directory: Path) -> bool:
        try:
            fingerprint = (directory / MADE).read_text()
        except FileNotFoundError:
            return False
        return bool(fingerprint) and (self.root / fingerprint).is_dir()

    def forget_partials(self, max_age: float) -> None:
        """Delete downloads that nobody went on with for ``max_age`` seconds."""
        for directory in (self.root / HUB).glob("*@*"):
            if directory.is_dir():
                newest = max((p.lstat().st_mtime for p in directory.rglob("*")), default=0.0)
                if time.time() - newest > max_age:
                    logger.info("removing an abandoned download")
                    _sweep_one(directory, self._trash)


def lock_of(directory: Path) -> FileLock:
    """Return the lock that whoever works in ``directory`` holds."""
    return FileLock(directory.with_name(directory.name + LOCK))


def waiting_of(directory: Path) -> FileLock:
    """Return the lock that the next one to work in ``directory`` holds while it waits."""
    return FileLock(directory.with_name(directory.name + WAITING))


def discard(directory: Path, trash: Path) -> None:
    """Delete a directory that may not be seen half deleted."""
    doomed = trash / f"{directory.name}.{secrets.token_hex(4)}"
    try:
        directory.rename(doomed)
    except FileNotFoundError:
        return
    sync_directory(directory.parent)
    shutil.rmtree(doomed, ignore_errors=True)


def _sweep_one(directory: Path, trash: Path) -> None:
    lock = lock_of(directory)
    try:
        with lock.acquire(timeout=0):
            discard(directory, trash)
            directory.with_name(directory.name + WAITING).unlink(missing_ok=True)
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        return
