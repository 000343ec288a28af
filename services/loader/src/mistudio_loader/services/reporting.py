"""Live progress of a load."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from mistudio_contracts import LoadStage
from mistudio_contracts.reports import LoadProgressedReport
from mistudio_loader.domain.progress import Pace, Rate, Step, seconds_left, told_speed
from mistudio_servicekit.tasks import cancel

_BEAT = 0.5

Send = Callable[[LoadProgressedReport], Awaitable[None]]


class LiveProgress:
    """Publishes the steps of one preparation: often enough, never too often.

    Parameters
    ----------
    task_id, model_id
        Of the order.
    send
        Publishes a report on core NATS.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        task_id: str,
        model_id: str,
        send: Send,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task_id = task_id
        self._model_id = model_id
        self._send = send
        self._pace = pace or Pace()
        self._clock = clock
        self._rate = Rate()
        self._last: Step | None = None
        self._speed: float | None = None
        self._overall = 0.0

    async def step(self, step: Step) -> None:
        """Take a step, and publish it when it is due."""
        now = self._clock()
        if self._last is None or self._last.stage is not step.stage:
            self._rate, self._speed = Rate(), None
        if step.done is not None:
            self._speed = self._rate.add(now, step.done)
        self._last = step
        self._overall = max(self._overall, step.overall)
        if self._pace.due(step, now):
            await self._publish(step)

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[LiveProgress]:
        """Repeat the last step while the block runs, so that watchers see that it lives."""
        beat = asyncio.create_task(self._beat())
        try:
            yield self
        finally:
            await cancel(beat)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            if self._last is not None and self._pace.due(self._last, self._clock()):
                await self._publish(self._last)

    async def _publish(self, step: Step) -> None:
        left, message = seconds_left(step, self._speed), step.message
        if step.stage is LoadStage.DOWNLOADING and self._speed and left is not None:
            message = told_speed(message, self._speed, left)
        await self._send(
            LoadProgressedReport(
                task_id=self._task_id,
                model_id=self._model_id,
                stage=step.stage,
                progress=round(self._overall, 2),
                message=message,
                bytes_done=step.done,
                bytes_total=step.total,
                bytes_per_second=round(self._speed, 1) if self._speed is not None else None,
                seconds_left=round(left, 1) if left is not None else None,
                waiting=step.waiting,
            )
        )
