"""What lies on the pool's disk is told to the catalog, which may not know of all of it."""

from __future__ import annotations

import asyncio
import logging

from faststream.nats import NatsBroker

from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import DISK_REPORT_MOST, DiskReport
from mistudio_loader.config import LoaderSettings
from mistudio_loader.storage import complete
from mistudio_servicekit.rpc import call
from mistudio_servicekit.tasks import cancel

log = logging.getLogger(__name__)

AGAIN_SECONDS = 30.0
"""Until it is tried again while the catalog does not answer: it may start later than the loader."""


class Inventory:
    """Tells what is complete on the disk, at the start and then every so often.

    Of what its own preparations are at work on it tells nothing: that lies in the staging until it
    is complete. Several loaders of a pool tell of the same disk, which does no harm.

    Parameters
    ----------
    settings
        Where to look, and how often.
    broker
        Connected by the time it starts.
    """

    def __init__(self, settings: LoaderSettings, broker: NatsBroker) -> None:
        self._settings, self._broker = settings, broker
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; the first report comes at once."""
        self._telling = asyncio.create_task(self._tell_often(), name="inventory")

    async def stop(self) -> None:
        """End."""
        await cancel(self._telling)

    async def tell(self) -> None:
        """Tell what lies there now, in as many reports as it takes.

        Raises
        ------
        MiStudioError
            The catalog does not answer, or not as hoped.
        """
        settings = self._settings
        artifacts = await asyncio.to_thread(complete.artifacts, settings.model_cache_dir)
        datasets = await asyncio.to_thread(complete.datasets, settings.dataset_cache_dir)
        for begin in range(0, max(len(artifacts), len(datasets)), DISK_REPORT_MOST):
            part = slice(begin, begin + DISK_REPORT_MOST)
            report = DiskReport(
                pool=settings.pool, artifacts=artifacts[part], datasets=datasets[part]
            )
            await call(self._broker, subjects.RPC_DISK_REPORT, report)

    async def _tell_often(self) -> None:
        every = self._settings.disk_report_seconds
        while True:
            pause = every
            try:
                await self.tell()
            except MiStudioError as error:
                log.warning("What lies on the disk was not told.", extra={"error": error.message})
                pause = min(every, AGAIN_SECONDS)
            except Exception:
                log.exception("What lies on the disk could not be told.")
            await asyncio.sleep(pause)
