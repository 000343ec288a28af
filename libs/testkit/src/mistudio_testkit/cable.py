"""A TCP link that can be cut, held up and slowed down: a proxy between two ports."""

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
        self._slow = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
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
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Drop every connection, and each that is tried from now on."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result()

    def hold(self) -> None:
        """Carry nothing until it is joined again, and tell neither end.

        So it is where packets are lost: what was sent comes late, since it is sent again.
        """
        self._loop.call_soon_threadsafe(self._flows.clear)

    def slow(self, seconds: float) -> None:
        """Let everything come later by ``seconds``, piece by piece."""
        self._slow = seconds

    def join(self) -> None:
        """Carry again, at once."""
        self._cut.clear()
        self._slow = 0.0
        self._loop.call_soon_threadsafe(self._flows.set)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._carry, "127.0.0.1", 0)

    async def _end(self) -> None:
        self._server.close()
        carrying = asyncio.all_tasks() - {asyncio.current_task()}
        for each in carrying:
            each.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    async def _drop(self) -> None:
        self._cut.set()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut.is_set():
            writer.transport.abort()
            return
        try:
            there, to_there = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            # Nobody listens there: who came learns it as if there were no cable.
            writer.transport.abort()
            return
        if self._cut.is_set():
            for each in (writer, to_there):
                each.transport.abort()
            return
        ends = {writer, to_there}
        self._writers |= ends
        try:
            await asyncio.gather(self._pour(reader, to_there), self._pour(there, writer))
        finally:
            self._writers -= ends

    async def _pour(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(_PIECE):
                await self._flows.wait()
                if self._slow:
                    await asyncio.sleep(self._slow)
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # One end is gone; the other learns it by the next line.
        finally:
            writer.close()
