"""Live progress: told often enough to be followed, and never in the way of the work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

from mistudio_contracts.errors import MiStudioError
from mistudio_servicekit.tasks import cancel

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
EVERY_SHARE = 0.05
LOOK = 0.5
"""Seconds between two looks at whether something is due."""

Send = Callable[[float], Awaitable[object]]


class Beat:
    """Sends a growing figure: at each share of its whole, and each second while the block runs.

    Parameters
    ----------
    send
        Publishes the figure on core NATS; what it raises is logged.
    whole
        What the figure grows to.
    measure
        Asked for the figure at each beat; None where :meth:`tell` gives it.
    least_seconds
        Between two figures, and before the first: work that is over sooner tells none.
    """

    def __init__(
        self,
        send: Send,
        whole: float,
        measure: Callable[[], float] | None = None,
        least_seconds: float = 0.0,
    ) -> None:
        self._send, self._whole, self._measure = send, whole, measure
        self._least = least_seconds
        self._figure, self._sent = 0.0, -1.0
        self._sent_at = time.monotonic() if least_seconds else float("-inf")
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def tell(self, figure: float) -> None:
        """Take the figure; any thread may call this."""
        self._figure = max(self._figure, figure)
        self._loop.call_soon_threadsafe(self._wake.set)

    async def __aenter__(self) -> Beat:
        self._task = asyncio.create_task(self._run(), name="live-progress")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await cancel(self._task)
        if kind is None and self._figure > self._sent and self._may():
            await self._publish()

    async def _run(self) -> None:
        while True:
            if self._measure is not None:
                self._figure = max(self._figure, min(self._whole, self._measure()))
            late = time.monotonic() - self._sent_at >= EVERY_SECONDS
            grown = self._figure - self._sent >= EVERY_SHARE * self._whole
            if (late or grown) and self._may():
                await self._publish()
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK)
            except asyncio.TimeoutError:
                continue
            self._wake.clear()

    def _may(self) -> bool:
        return time.monotonic() - self._sent_at >= self._least

    async def _publish(self) -> None:
        self._sent, self._sent_at = self._figure, time.monotonic()
        try:
            await self._send(self._figure)
        except MiStudioError as error:
            log.warning("Progress was not told.", extra={"error": error.message})
