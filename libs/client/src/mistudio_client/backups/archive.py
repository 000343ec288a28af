"""The one file of a backup: a ZIP archive with a table of contents that has the last word.

``backup.json`` names every entry with its bytes and SHA-256; its own SHA-256 is the archive's
comment, which is the last thing in the file. An entry that it does not name is not there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mistudio_client.errors import Corrupted, InvalidArgument
from mistudio_contracts.errors import InsufficientStorage

SCHEMA_VERSION = 1
CONTENTS = "backup.json"
CHUNK = 1 << 20

Contents = dict[str, Any]

_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),
    *(ValueError, LookupError, TypeError),
)
"""What reading a changed archive raises: of its structure, of what is packed, of ways to pack that
nobody chose, of places before its beginning, and of contents that are none."""


class Writer:
    """An archive that is being written and has no name yet."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries: dict[str, dict[str, Any]] = {}

    def add(self, path: str, chunks: Iterable[bytes], *, pack: bool = True) -> None:
        """Add an entry; it is part of the backup once all of it has been written.

        Parameters
        ----------
        path
            Of the entry, with slashes.
        chunks
            Its bytes.
        pack
            Whether they are compressed; activations hardly become smaller.
        """
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(path)
        info.compress_type = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        with self._archive.open(info, "w", force_zip64=True) as target:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
        self._entries[path] = {"bytes": size, "sha256": digest.hexdigest()}

    def add_folder(self, folder: Path) -> None:
        """Add every file below a folder, by its path there."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.add(path.relative_to(folder).as_posix(), chunks_of(path))

    def leave_out(self, prefix: str) -> None:
        """Have what was added below ``prefix`` be no part of the backup after all."""
        for path in [each for each in self._entries if each.startswith(prefix)]:
            del self._entries[path]

    def finish(self, about: Contents) -> None:
        """Write the table of contents."""
        contents = {"schema": SCHEMA_VERSION, **about, "entries": self._entries}
        text = json.dumps(contents, indent=1).encode() + b"\n"
        self._archive.writestr(CONTENTS, text, zipfile.ZIP_DEFLATED)
        self._archive.comment = hashlib.sha256(text).hexdigest().encode()


class Reader:
    """An archive whose every entry has been compared with its table of contents."""

    def __init__(self, archive: zipfile.ZipFile, contents: Contents) -> None:
        self._archive = archive
        self.contents = contents

    @property
    def paths(self) -> list[str]:
        """The entries, in order."""
        return sorted(self.contents["entries"])

    def size(self, path: str) -> int:
        """Return an entry's bytes."""
        return int(self.contents["entries"][path]["bytes"])

    def chunks(self, path: str) -> Iterator[bytes]:
        """Read an entry.

        Raises
        ------
        KeyError
            When the table of contents does not name it.
        """
        if path not in self.contents["entries"]:
            raise KeyError(path)
        with self._archive.open(path) as source:
            while chunk := source.read(CHUNK):
                yield chunk

    def read(self, path: str) -> bytes:
        """Return a small entry."""
        return b"".join(self.chunks(path))

    def extract(self, path: str, target: Path) -> None:
        """Write an entry into a file, down to the disk."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for chunk in self.chunks(path):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """Write an archive that gets its name when the body has ended, and is gone if it fails.

    Raises
    ------
    InvalidArgument
        There is something of that name, or it cannot be written there.
    """
    if target.exists():
        raise InvalidArgument(
            f"{target} exists already.",
            field="path",
            reason="exists",
            remedy="Name a file that does not exist; no backup is written over.",
        )
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        # It holds whatever the stack does: for its owner alone.
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidArgument(
            f"{target} cannot be written: {error.strerror}.",
            field="path",
            reason="not_writable",
            remedy="Name a file in a directory that exists and may be written.",
        ) from error
    try:
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    sync(target.parent)


@contextmanager
def reading(source: Path) -> Iterator[Reader]:
    """Open an archive and compare all of it with its table of contents first.

    Raises
    ------
    InvalidArgument
        There is no such file, or it is of a later version.
    Corrupted
        It is no backup, or not all of it is what was written.
    """
    if not source.is_file():
        raise InvalidArgument(
            f"There is no file {source}.",
            field="path",
            reason="no_such_file",
            remedy="Name the file that `mistudio backup` has written.",
        )
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(source))
            reader = Reader(archive, _contents(archive))
            for path in reader.paths:
                _compare(reader, path)
        except _UNREADABLE as error:
            raise _damaged("it is no archive, or not as it was written") from error
        yield reader


@contextmanager
def within_room(what: str) -> Iterator[None]:
    """Say so where a disk has no room.

    Raises
    ------
    InsufficientStorage
        When the body meets the end of a disk or of a quota.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InsufficientStorage(
            f"The disk has no room for {what}.",
            reason="disk_full",
            remedy="Free some, or choose a place on another disk; nothing is left of the attempt.",
        ) from error


def chunks_of(path: Path) -> Iterator[bytes]:
    """Read a file."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _contents(archive: zipfile.ZipFile) -> Contents:
    try:
        text = archive.read(CONTENTS)
    except KeyError as error:
        raise _damaged("it has no table of contents") from error
    if hashlib.sha256(text).hexdigest().encode() != archive.comment:
        raise _damaged("its table of contents is not what was written")
    contents: Contents = json.loads(text)
    if contents["schema"] != SCHEMA_VERSION:
        raise InvalidArgument(
            f"The backup is of version {contents['schema']}; this reads {SCHEMA_VERSION}.",
            field="path",
            reason="unknown_version",
            remedy="Restore it with the release that made it, or a later one.",
        )
    for path in contents["entries"]:
        if path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise _damaged("an entry leads out of it")
    return contents


def _compare(reader: Reader, path: str) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in reader.chunks(path):
            digest.update(chunk)
            size += len(chunk)
    except KeyError as error:
        raise _damaged(f"{path} is not there") from error
    entry = reader.contents["entries"][path]
    if (size, digest.hexdigest()) != (entry["bytes"], entry["sha256"]):
        raise _damaged(f"{path} is not what was written")


def _damaged(what: str) -> Corrupted:
    return Corrupted(
        f"The backup is damaged: {what}.",
        field="path",
        reason="damaged",
        remedy="Take another copy of it; nothing was restored.",
    )


def sync(directory: Path) -> None:
    """Have a directory's names be on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
