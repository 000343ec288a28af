"""Bringing a repository's weights to the disk and checking them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from mistudio_contracts import LoadStage
from mistudio_loader.domain.progress import Step
from mistudio_loader.hub.client import Repository
from mistudio_loader.hub.download import download, partial_bytes, verify
from mistudio_loader.storage.disk import require_space
from mistudio_loader.storage.staging import HUB, lock_of

from .checkpoints import HubCheckpoint


@dataclass
class Fetched:
    """Weights that can be read from a directory, and the digests known of them.

    ``owned`` says that nobody else changes the files, so that they may be linked.
    """

    directory: Path
    digests: Mapping[str, str | None]
    owned: bool = False
    finished: bool = field(default=False, init=False)

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

    One process at a time works on a revision. The files stay for the next attempt unless
    :meth:`Fetched.done` was called.

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
    lock = lock_of(directory)
    _wait_for(lock, tell)
    try:
        directory.mkdir(exist_ok=True)
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
        fetched = Fetched(directory, digests, owned=True)
        yield fetched
        if fetched.finished:
            shutil.rmtree(directory, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def download_directory(root: Path, repository: Repository) -> Path:
    """Return where a repository's files are gathered."""
    name = repository.repo_id.replace("/", "--")
    return root / HUB / f"{name}@{repository.revision}"


def _wait_for(lock: FileLock, tell: Callable[[Step], None]) -> None:
    while True:
        try:
            lock.acquire(timeout=1.0)
        except Timeout:
            tell(Step(LoadStage.RESOLVING, "Waiting for another load of the same checkpoint."))
        else:
            return
