"""Reading files of an activation store in pieces, through an extractor of the pool."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Callable

from nats.aio.client import Client

from mistudio_contracts.errors import MiStudioError, ServiceUnavailable
from mistudio_contracts.rpc import FileChunk, ReadStoreFileRequest
from mistudio_contracts.subjects import RPC_STORE_READ
from mistudio_servicekit.tasks import cancel

from .catalog import Catalog

PIECE_BYTES = 1024 * 1024
OVERHEAD_BYTES = 8 * 1024
"""Of a message around the base64 of a piece."""


class StoreFile:
    """An open file: its length is known, and its first piece is here.

    Attributes
    ----------
    total_bytes
        Length of the whole file.
    start
        Offset of the first byte that :meth:`pieces` yields.
    """

    def __init__(
        self, catalog: Catalog, store_key: str, path: str, start: int, piece_bytes: int
    ) -> None:
        self._catalog = catalog
        self._store_key = store_key
        self._path = path
        self._piece_bytes = piece_bytes
        self.start = start
        self.total_bytes = 0
        self._first = b""

    async def open(self) -> None:
        """Read the first piece.

        Raises
        ------
        MiStudioError
            When there is no such file, or no extractor that holds it.
        """
        self.total_bytes, self._first = await self._read(self.start)

    async def pieces(self, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` to ``end``, reading one piece ahead of the client.

        Raises
        ------
        MiStudioError
            When the file cannot be read to its end, or changed on the way.
        """
        offset = self.start
        data = self._first
        while True:
            data = data[: end - offset]
            offset += len(data)
            ahead = asyncio.create_task(self._read(offset)) if offset < end else None
            try:
                yield data
                if ahead is None:
                    return
                total, data = await ahead
            finally:
                await cancel(ahead)
            if total != self.total_bytes or not data:
                raise ServiceUnavailable("The file changed while it was read.", reason="changed")

    async def _read(self, offset: int) -> tuple[int, bytes]:
        request = ReadStoreFileRequest(
            store_key=self._store_key, path=self._path, offset=offset, length=self._piece_bytes
        )
        chunk = await self._catalog.ask(RPC_STORE_READ, request, FileChunk)
        try:
            return chunk.total_bytes, base64.b64decode(chunk.data, validate=True)
        except binascii.Error as error:
            raise MiStudioError("A piece of the file could not be understood.") from error


class Stores:
    """The pool's activation stores, as far as they can be read from here.

    Parameters
    ----------
    catalog
        Carries the questions.
    connection
        Returns the NATS connection, whose largest message decides the size of a piece.
    """

    def __init__(self, catalog: Catalog, connection: Callable[[], Client]) -> None:
        self._catalog = catalog
        self._connection = connection

    async def open(self, store_key: str, path: str, start: int = 0) -> StoreFile:
        """Open a file of a store, to be read from ``start`` on.

        Raises
        ------
        MiStudioError
            When there is no such file, or no extractor that holds it.
        """
        room = (self._connection().max_payload - OVERHEAD_BYTES) * 3 // 4
        file = StoreFile(self._catalog, store_key, path, start, min(PIECE_BYTES, room))
        await file.open()
        return file
