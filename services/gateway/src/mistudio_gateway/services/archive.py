"""A store as one tar archive, made while it is sent: no file of rows is kept here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from tarfile import BLOCKSIZE, GNU_FORMAT, TarInfo

from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.views import StoreFiles

from .stores import StoreFile, Stores

MANIFEST = "manifest.json"
"""Of a store: the file that makes the others visible."""

END = bytes(2 * BLOCKSIZE)


class Archive:
    """The files of a store, under one folder.

    The manifest is read first and sent last: what else is written to the store meanwhile does not
    matter, and an archive that was cut short unpacks to nothing that could be taken for a store.

    Parameters
    ----------
    stores
        Where they are read from.
    files
        What there is.
    folder
        The folder they unpack to.
    made_at
        The time that they unpack with.

    Attributes
    ----------
    length
        Bytes of the archive.
    """

    def __init__(self, stores: Stores, files: StoreFiles, folder: str, made_at: datetime) -> None:
        self._stores = stores
        self._key = files.store_key
        self._files = sorted(files.files, key=lambda file: (file.path == MANIFEST, file.path))
        self._heads = {
            file.path: _header(f"{folder}/{file.path}", file.bytes, made_at) for file in self._files
        }
        self._manifest = b""
        members = (
            len(self._heads[file.path]) + file.bytes + _padding(file.bytes) for file in self._files
        )
        self.length = sum(members) + len(END)

    async def open(self) -> None:
        """Read the manifest.

        Raises
        ------
        MiStudioError
            When the store cannot be read, or is no longer what was listed.
        """
        size = next(file.bytes for file in self._files if file.path == MANIFEST)
        file = await self._stores.open(self._key, MANIFEST)
        self._manifest = b"".join([piece async for piece in _whole(file, size)])

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the archive.

        Raises
        ------
        MiStudioError
            When a file cannot be read, or is no longer what was listed.
        """
        for each in self._files:
            yield self._heads[each.path]
            if each.path == MANIFEST:
                yield self._manifest
            else:
                file = await self._stores.open(self._key, each.path)
                async with aclosing(_whole(file, each.bytes)) as pieces:
                    async for piece in pieces:
                        yield piece
            yield bytes(_padding(each.bytes))
        yield END


async def _whole(file: StoreFile, size: int) -> AsyncGenerator[bytes, None]:
    if file.total_bytes != size:
        raise ServiceUnavailable(
            "The store changed while it was read.",
            reason="changed",
            remedy="Ask for a new link when no extraction writes to the store.",
        )
    async with aclosing(file.pieces(size)) as pieces:
        async for piece in pieces:
            yield piece


def _header(name: str, size: int, made_at: datetime) -> bytes:
    member = TarInfo(name)
    member.size = size
    member.mtime = int(made_at.timestamp())
    return member.tobuf(GNU_FORMAT)


def _padding(size: int) -> int:
    return -size % BLOCKSIZE
