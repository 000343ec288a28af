"""A store as one tar archive, made while it is sent: nothing of it is kept here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from tarfile import BLOCKSIZE, GNU_FORMAT, TarInfo

from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.views import StoreFiles

from .stores import Stores

END = bytes(2 * BLOCKSIZE)


class Archive:
    """The files of a store, under one folder.

    Parameters
    ----------
    stores
        Where they are read from.
    files
        What there is.
    folder
        The folder they unpack to.
    """

    def __init__(self, stores: Stores, files: StoreFiles, folder: str) -> None:
        self._stores = stores
        self._key = files.store_key
        self._members = [
            (file.path, file.bytes, _header(f"{folder}/{file.path}", file.bytes))
            for file in files.files
        ]

    @property
    def bytes(self) -> int:
        """Length of the archive."""
        members = (len(head) + size + _padding(size) for _, size, head in self._members)
        return sum(members) + len(END)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the archive.

        Raises
        ------
        MiStudioError
            When a file cannot be read, or is no longer what was announced.
        """
        for path, size, head in self._members:
            yield head
            file = await self._stores.open(self._key, path)
            if file.total_bytes != size:
                raise ServiceUnavailable("The store changed while it was read.", reason="changed")
            async with aclosing(file.pieces(size)) as pieces:
                async for piece in pieces:
                    yield piece
            yield bytes(_padding(size))
        yield END


def _header(name: str, size: int) -> bytes:
    member = TarInfo(name)
    member.size = size
    return member.tobuf(GNU_FORMAT)


def _padding(size: int) -> int:
    return -size % BLOCKSIZE
