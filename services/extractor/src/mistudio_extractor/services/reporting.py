"""Reports of departures: told in the background until the bus has them."""

from __future__ import annotations

import asyncio
import logging

from mistudio_contracts import subjects
from mistudio_contracts.base import new_id
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import ModelEvictedReport
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.tasks import cancel

log = logging.getLogger(__name__)

AGAIN_AFTER = 1.0
LAST_SECONDS = 1.0


class Departures:
    """Tells the catalog which models have left.

    A model leaves whether or not the bus is there, and no order comes again because of it: a
    report that was lost would leave the model ready in the catalog for ever.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: asyncio.Queue[tuple[ModelEvictedReport, str]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def tell(self, report: ModelEvictedReport) -> None:
        """Take a report; it is published soon, in order."""
        self._waiting.put_nowait((report, new_id("evt")))

    async def start(self) -> None:
        """Begin to publish."""
        self._task = asyncio.create_task(self._run(), name="departures")

    async def stop(self) -> None:
        """Publish what waits, if the bus takes it at once."""
        try:
            await asyncio.wait_for(self._waiting.join(), LAST_SECONDS)
        except asyncio.TimeoutError:
            log.warning("Departures were not told.", extra={"reports": self._waiting.qsize()})
        await cancel(self._task)

    async def _run(self) -> None:
        while True:
            report, message_id = await self._waiting.get()
            await self._publish(report, message_id)
            self._waiting.task_done()

    async def _publish(self, report: ModelEvictedReport, message_id: str) -> None:
        while True:
            try:
                await self._publisher.publish(
                    subjects.REPORT_EVICTED, report, entity_id=report.model_id, msg_id=message_id
                )
            except MiStudioError as error:
                log.warning("A departure is not told yet.", extra={"error": error.message})
                await asyncio.sleep(AGAIN_AFTER)
            else:
                return
