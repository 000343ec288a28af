"""Downloads that go on where they stopped, also after the process died.

``huggingface_hub`` resumes within one call and throws partial files away after it; so the partial
file is kept here, and the library is given it with the position to go on from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mistudio_contracts.errors import ModelLoadFailed

from .client import HubClient, RemoteFile, Repository
from .errors import hub_errors

PARTIAL = ".partial"
_WRITE_BYTES = 1024 * 1024
_HASH_BYTES = 4 * 1024 * 1024


class _Counted:
    """The file that ``http_get`` writes to; tells its position after every write."""

    def __init__(self, stream: Any, tell_done: Callable[[int], None]) -> None:
        self._stream = stream
        self._tell_done = tell_done

    def write(self, data: bytes) -> int:
        count: int = self._stream.write(data)
        self._tell_done(self._stream.tell())
        return count

    def seek(self, position: int) -> int:
        found: int = self._stream.seek(position)
        return found

    def tell(self) -> int:
        found: int = self._stream.tell()
        return found

    def truncate(self) -> int:
        found: int = self._stream.truncate()
        return found


def partial_bytes(directory: Path, file: RemoteFile) -> int:
    """Return how many bytes of a file are already here."""
    for path in (directory / file.name, directory / (file.name + PARTIAL)):
        if path.exists():
            return min(path.stat().st_size, file.size)
    return 0


def download(
    client: HubClient,
    repository: Repository,
    file: RemoteFile,
    directory: Path,
    tell_done: Callable[[int], None],
) -> Path:
    """Download a file into ``directory``, resuming, and return its path. Nothing is verified yet.

    A server that sends nothing for ``HF_HUB_DOWNLOAD_TIMEOUT`` seconds, ten unless set, is asked
    again for the rest; after five such silences in a row the attempt has failed for a while.

    Parameters
    ----------
    tell_done
        Called with the bytes of this file that are on disk.

    Raises
    ------
    InvalidInput, ServiceUnavailable
        See :func:`~.errors.hub_errors`. What has arrived stays for the next attempt.
    """
    import huggingface_hub.constants
    from huggingface_hub.file_download import http_get

    # The library's ten megabytes would be lost with each cut, and make progress jump.
    huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = _WRITE_BYTES
    target = directory / file.name
    if target.exists() and target.stat().st_size == file.size:
        tell_done(file.size)
        return target
    partial = directory / (file.name + PARTIAL)
    partial.touch()
    with partial.open("r+b", buffering=0) as stream:
        if partial.stat().st_size > file.size:
            stream.truncate(0)
        here = stream.seek(0, 2)
        tell_done(here)
        sink: Any = _Counted(stream, tell_done)
        with hub_errors(repository.repo_id):
            http_get(
                client.url(repository, file.name),
                sink,
                resume_size=here,
                headers=client.headers(),
                expected_size=file.size,
                displayed_filename=file.name,
            )
    partial.replace(target)
    return target


def verify(path: Path, file: RemoteFile, tell_done: Callable[[int], None]) -> str:
    """Hash a downloaded file and compare it with what the hub announced.

    Returns
    -------
    str
        The file's SHA-256.

    Raises
    ------
    ModelLoadFailed
        Transient, ``reason`` ``checksum_mismatch``; the file is removed.
    """
    sha256 = hashlib.sha256()
    git = hashlib.sha1(b"blob %d\x00" % file.size, usedforsecurity=False)
    done = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_HASH_BYTES):
            sha256.update(chunk)
            if file.sha256 is None:
                git.update(chunk)
            done += len(chunk)
            tell_done(done)
    if file.sha256 is not None:
        right = sha256.hexdigest() == file.sha256
    else:
        right = file.blob_id is None or git.hexdigest() == file.blob_id
    if not right or done != file.size:
        path.unlink(missing_ok=True)
        raise ModelLoadFailed(
            f"The downloaded {file.name} is not the file that the hub announced.",
            transient=True,
            reason="checksum_mismatch",
            file=file.name,
            remedy="Load the model again; the damaged file has been removed.",
        )
    return sha256.hexdigest()
