"""Bringing a repository's weights to the disk and checking them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from mistudio_contracts import LoadStage
from mistudio_loader.domain.progress import Step
from mistudio_loader.hub.client import Repository
from mistudio_loader.hub.download import download, partial_bytes, verify
from mistudio_loader.storage.disk import require_space, write_file
from mistudio_loader.storage.staging import HUB, MADE, TRASH, discard, lock_of, waiting_of

from .checkpoints import HubCheckpoint


@dataclass
class Fetched:
    """Weights that can be read from a directory, and the digests known of them.

    ``owned`` says that nobody else changes the files, so that they may be linked, and
    ``downloaded`` that they are in the way once they have been made into an artifact.
    """

    directory: Path
    digests: Mapping[str, str | None]
    owned: bool = False
    downloaded: bool = False
    finished: bool = field(default=False, init=False)

    def making(self, fingerprint: str) -> None:
        """Note which artifact becomes visible next: then a sweep may delete the download."""
        if self.downloaded:
            write_file(self.directory / MADE, fingerprint.encode())

    def done(self) -> None:
        """Say that the downloaded files are no longer needed."""
        self.finished = True


@contextlib.contextmanager
def fetch(
    checkpoint: HubCheckpoint,
    names: Sequence[str],
    root: Path,
    tell: Callable[[Step], None],
    reserve_bytes: int,
) -> Iterator[Fetched]:
    """Yield the downloaded, verified weights of a repository.

    One process at a time works on a revision. The files stay for the next attempt, and for whoever
    waits for them, unless :meth:`Fetched.done` was called and nobody waits.

    Parameters
    ----------
    reserve_bytes
        Bytes that must stay free beside the download.

    Raises
    ------
    InsufficientStorage
        With figures, before anything is transferred.
    ModelLoadFailed
        Transient, ``reason`` ``checksum_mismatch``.
    ServiceUnavailable
        The hub does not answer; what has arrived stays.
    """
    repository = checkpoint.repository
    directory = download_directory(root, repository)
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = _enter(directory, tell)
    try:
        directory.mkdir(exist_ok=True)
        # Whoever came before has made what he wanted of these files; now they are wanted again.
        (directory / MADE).unlink(missing_ok=True)
        files = [repository.files[name] for name in names]
        missing = sum(file.size - partial_bytes(directory, file) for file in files)
        require_space(root, missing, reserve_bytes)
        total = sum(file.size for file in files)
        before = 0

        def downloading(done: int) -> None:
            tell(Step(LoadStage.DOWNLOADING, "Downloading the weights.", before + done, total))

        def verifying(done: int) -> None:
            tell(Step(LoadStage.VERIFYING, "Checking the weights.", before + done, total))

        for file in files:
            download(checkpoint.client, repository, file, directory, downloading)
            before += file.size
        before = 0
        digests: dict[str, str | None] = {}
        for file in files:
            digests[file.name] = verify(directory / file.name, file, verifying)
            before += file.size
        fetched = Fetched(directory, digests, owned=True, downloaded=True)
        yield fetched
        if fetched.finished:
            _leave(directory, root, lock)
    finally:
        lock.release()


def download_directory(root: Path, repository: Repository) -> Path:
    """Return where a repository's files are gathered."""
    name = repository.repo_id.replace("/", "--")
    return root / HUB / f"{name}@{repository.revision}"


def _enter(directory: Path, tell: Callable[[Step], None]) -> FileLock:
    """Take a revision's lock, seen by its holder as long as that takes."""
    queue, lock = waiting_of(directory), lock_of(directory)
    _wait_for(queue, tell)
    try:
        _wait_for(lock, tell)
    finally:
        queue.release()
    return lock


def _leave(directory: Path, root: Path, lock: FileLock) -> None:
    """Delete the files unless somebody waits for them."""
    queue = waiting_of(directory)
    try:
        queue.acquire(timeout=0)
    except Timeout:
        return
    try:
        discard(directory, root / TRASH)
        for each in (queue, lock):
            Path(each.lock_file).unlink(missing_ok=True)
    finally:
        queue.release()


def _wait_for(lock: FileLock, tell: Callable[[Step], None]) -> None:
    while True:
        try:
            lock.acquire(timeout=1.0)
        except Timeout:
            message = "Waiting for another load of the same checkpoint."
            tell(Step(LoadStage.RESOLVING, message, waiting=True))
        else:
            return
