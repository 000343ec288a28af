"""Orders about extractions and stores: plan, capture, commit, delete, read."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import (
    ExtractionWorkFailedReport,
    ShardCapturedReport,
    ShardProgressedReport,
)
from mistudio_contracts.rpc import FileChunk, ListStoreFilesRequest, ReadStoreFileRequest
from mistudio_contracts.values import Failure
from mistudio_contracts.views import StoreFiles
from mistudio_contracts.work import CaptureShard, CommitExtraction, EvictStore, PlanExtraction
from mistudio_extractor.services.capturing import Capturing
from mistudio_extractor.services.committing import Committing
from mistudio_extractor.services.device import Device
from mistudio_extractor.services.planning import Planning
from mistudio_extractor.services.residency import Residency
from mistudio_extractor.services.stores import Stores
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.consume import Delivery

log = logging.getLogger(__name__)

ExtractionOrder = PlanExtraction | CaptureShard | CommitExtraction


class ExtractionHandlers:
    """Handlers of ``work.*.extraction.*``, ``work.*.store.evict`` and ``rpc.store.*``."""

    def __init__(
        self,
        device: Device,
        residency: Residency,
        planning: Planning,
        capturing: Capturing,
        committing: Committing,
        stores: Stores,
        cancellations: Cancellations,
        publisher: Publisher,
    ) -> None:
        self._device, self._residency = device, residency
        self._planning, self._capturing = planning, capturing
        self._committing, self._stores = committing, stores
        self._cancellations, self._publisher = cancellations, publisher
        # Tokenising holds the interpreter for seconds: one at a time, beside the device's thread.
        self._tokenising = ThreadPoolExecutor(1, thread_name_prefix="tokenise")

    async def plan(self, order: PlanExtraction, delivery: Delivery) -> None:
        """Tokenise, cut and report the shards."""
        if self._void(order.task_id):
            return
        report = await asyncio.get_running_loop().run_in_executor(
            self._tokenising, self._planning.plan, order, lambda: self._void(order.task_id)
        )
        if report is not None:
            await self._publisher.publish(
                subjects.REPORT_PLANNED, report, entity_id=order.extraction_id
            )

    async def capture(self, order: CaptureShard, delivery: Delivery) -> None:
        """Capture a shard and report its files."""
        if self._void(order.task_id):
            return
        start = time.monotonic()
        loop = asyncio.get_running_loop()
        facts = await self._device.facts()

        def on_progress(samples: int) -> None:
            asyncio.run_coroutine_threadsafe(self._progress(order, samples), loop)

        async with self._residency.lease(order.model_id, order.task_id, order.artifact) as model:
            files = await self._device.run(
                lambda: self._capturing.capture(
                    order, model, facts, on_progress, lambda: self._void(order.task_id)
                )
            )
        if files is None:
            return
        report = ShardCapturedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            shard_index=order.shard.index,
            device_id=self._device.device_id,
            files=files,
            tokens=order.shard.tokens,
            seconds=time.monotonic() - start,
        )
        await self._publisher.publish(subjects.REPORT_SHARD, report, entity_id=order.extraction_id)

    async def commit(self, order: CommitExtraction, delivery: Delivery) -> None:
        """Make the columns visible and report them."""
        if self._void(order.task_id):
            return
        report = await asyncio.to_thread(self._committing.commit, order)
        await self._publisher.publish(
            subjects.REPORT_COMMITTED, report, entity_id=order.extraction_id
        )

    async def give_up(
        self, order: ExtractionOrder, error: MiStudioError, delivery: Delivery
    ) -> None:
        """Report that a part of an extraction cannot be done."""
        report = ExtractionWorkFailedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            failure=Failure(error=error.body(), transient=error.transient),
        )
        await self._publisher.publish(
            subjects.REPORT_EXTRACTION_FAILED, report, entity_id=order.extraction_id
        )

    async def evict(self, order: EvictStore, delivery: Delivery) -> None:
        """Delete stored columns and report the bytes."""
        report = await asyncio.to_thread(self._stores.evict, order)
        await self._publisher.publish(
            subjects.REPORT_STORE_EVICTED, report, entity_id=order.store_key
        )

    async def files(self, request: ListStoreFilesRequest) -> StoreFiles:
        """List a store's files."""
        return await asyncio.to_thread(self._stores.files, request)

    async def read(self, request: ReadStoreFileRequest) -> FileChunk:
        """Read a piece of a store's file."""
        return await asyncio.to_thread(self._stores.read, request)

    async def close(self) -> None:
        """Take no more tokenising."""
        self._tokenising.shutdown(wait=False, cancel_futures=True)

    def _void(self, task_id: str) -> bool:
        return task_id in self._cancellations

    async def _progress(self, order: CaptureShard, samples: int) -> None:
        report = ShardProgressedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            shard_index=order.shard.index,
            samples_done=samples,
        )
        try:
            await self._publisher.publish(
                subjects.LIVE_SHARD, report, entity_id=order.extraction_id
            )
        except MiStudioError as error:
            log.warning("Progress was not told: %s", error.message)
