"""A TCP link that can be cut: a proxy that drops its connections and takes no new ones."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_PIECE = 64 * 1024


class Cable:
    """Carries what comes to ``port`` of the loopback interface on to another port of it.

    Parameters
    ----------
    to
        The port at the other end.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut = threading.Event()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Drop every connection, and each that is tried from now on."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result()

    def join(self) -> None:
        """Carry again."""
        self._cut.clear()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._carry, "127.0.0.1", 0)

    async def _drop(self) -> None:
        self._cut.set()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut.is_set():
            writer.transport.abort()
            return
        there, to_there = await asyncio.open_connection("127.0.0.1", self._to)
        if self._cut.is_set():
            for each in (writer, to_there):
                each.transport.abort()
            return
        self._writers |= {writer, to_there}
        await asyncio.gather(_pour(reader, to_there), _pour(there, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass  # One end is gone; the other learns it by the next line.
    finally:
        writer.close()
