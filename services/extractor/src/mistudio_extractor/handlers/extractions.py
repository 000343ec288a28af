"""Orders about extractions: plan, capture, commit; and what one would take."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import ExtractionWorkFailedReport, ShardProgressedReport
from mistudio_contracts.rpc import ExtractionProbe, ProbeExtractionRequest
from mistudio_contracts.values import Failure
from mistudio_contracts.work import CaptureShard, CommitExtraction, PlanExtraction
from mistudio_extractor.metrics import Metrics
from mistudio_extractor.services.committing import Committing
from mistudio_extractor.services.device import Device
from mistudio_extractor.services.live import Beat
from mistudio_extractor.services.planning import Planning
from mistudio_extractor.services.probing import Probing
from mistudio_extractor.services.shards import Shards
from mistudio_extractor.services.tokenizing import yield_to_others
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.consume import Delivery
from mistudio_servicekit.tracing import span

ExtractionOrder = PlanExtraction | CaptureShard | CommitExtraction


class ExtractionHandlers:
    """Handlers of ``work.*.extraction.*``."""

    def __init__(
        self,
        device: Device,
        planning: Planning,
        shards: Shards,
        committing: Committing,
        cancellations: Cancellations,
        publisher: Publisher,
        probing: Probing,
        metrics: Metrics,
    ) -> None:
        self._device, self._planning, self._shards = device, planning, shards
        self._committing, self._probing = committing, probing
        self._cancellations, self._publisher = cancellations, publisher
        self._seconds = metrics.phase_seconds
        # Tokenising holds the interpreter for seconds: one at a time, beside the device's thread.
        self._tokenising = ThreadPoolExecutor(
            1, thread_name_prefix="tokenise", initializer=yield_to_others
        )

    async def plan(self, order: PlanExtraction, delivery: Delivery) -> None:
        """Tokenise, cut and report the shards."""
        if self._void(order.task_id):
            return
        # Its import of transformers must not meet the device's half-way.
        await self._device.facts()
        left = threading.Event()

        def should_stop() -> bool:
            return left.is_set() or self._void(order.task_id)

        loop = asyncio.get_running_loop()
        try:
            with (
                self._seconds.labels("plan").time(),
                span("tokenise", extraction_id=order.extraction_id),
            ):
                report = await loop.run_in_executor(
                    self._tokenising, self._planning.plan, order, should_stop
                )
        except asyncio.CancelledError:
            left.set()
            raise
        if report is not None:
            # Not the plan's own: an order that comes again makes the same plan.
            room = {"room_bytes": self._planning.room_bytes()}
            await self._publisher.publish(
                subjects.REPORT_PLANNED,
                report.model_copy(update=room),
                entity_id=order.extraction_id,
                msg_id=delivery.report_id("planned"),
            )

    async def probe(self, request: ProbeExtractionRequest) -> ExtractionProbe:
        """Tell what an extraction would compute, and how fast."""
        return await self._probing.probe(request)

    async def capture(self, order: CaptureShard, delivery: Delivery) -> None:
        """Capture a shard and report its files."""

        async def send(samples: float) -> None:
            await self._progress(order, int(samples))

        least = order.tell_every_seconds
        async with Beat(send, order.shard.samples, least_seconds=least) as beat:
            report = await self._shards.capture(order, beat.tell)
        if report is not None:
            await self._publisher.publish(
                subjects.REPORT_SHARD,
                report,
                entity_id=order.extraction_id,
                msg_id=delivery.report_id("captured"),
            )

    async def commit(self, order: CommitExtraction, delivery: Delivery) -> None:
        """Make the columns visible and report them."""
        if self._void(order.task_id):
            return
        with (
            self._seconds.labels("commit").time(),
            span("commit", extraction_id=order.extraction_id, shards=order.shards),
        ):
            report = await asyncio.to_thread(self._committing.commit, order)
        if report is None:
            return
        await self._publisher.publish(
            subjects.REPORT_COMMITTED,
            report,
            entity_id=order.extraction_id,
            msg_id=delivery.report_id("committed"),
        )

    async def give_up(
        self, order: ExtractionOrder, error: MiStudioError, delivery: Delivery
    ) -> None:
        """Report that a part of an extraction cannot be done."""
        if self._void(order.task_id):
            return
        report = ExtractionWorkFailedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            failure=Failure(error=error.body(), transient=error.transient),
        )
        await self._publisher.publish(
            subjects.REPORT_EXTRACTION_FAILED,
            report,
            entity_id=order.extraction_id,
            msg_id=delivery.report_id("failed"),
        )

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
        await self._publisher.publish(subjects.LIVE_SHARD, report, entity_id=order.extraction_id)
