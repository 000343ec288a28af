"""The way of a shard: its model held in place, captured, watched, called off."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from mistudio_contracts.errors import InsufficientMemory, MiStudioError
from mistudio_contracts.reports import ShardCapturedReport
from mistudio_contracts.values import ColumnFile
from mistudio_contracts.work import CaptureShard
from mistudio_extractor.domain.memory import is_out_of_memory
from mistudio_extractor.domain.needs import gigabytes
from mistudio_extractor.metrics import Metrics
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.tracing import span

from .arrivals import Resident
from .capturing import Capturing
from .device import Device
from .residency import Residency


class Shards:
    """Captures the shards that are ordered.

    Parameters
    ----------
    device, residency
        Where, and with which model.
    capturing
        Does it.
    cancellations
        Tasks that are void.
    metrics
        Told how long what took.
    """

    def __init__(
        self,
        device: Device,
        residency: Residency,
        capturing: Capturing,
        cancellations: Cancellations,
        metrics: Metrics,
    ) -> None:
        self._device, self._residency, self._metrics = device, residency, metrics
        self._capturing, self._cancellations = capturing, cancellations

    async def capture(
        self, order: CaptureShard, on_progress: Callable[[int], None]
    ) -> ShardCapturedReport | None:
        """Capture a shard; its model is placed first if need be. None when the task is void.

        Raises
        ------
        MiStudioError
            Of placing the model, of the disk, and InsufficientMemory when a sample does not fit.
        """
        if order.task_id in self._cancellations:
            return None
        try:
            captured = await self._with_model(order, on_progress)
        except MiStudioError:
            if order.task_id in self._cancellations:
                return None  # Called off while it waited for its model.
            raise
        if captured is None:
            return None
        files, seconds = captured
        return ShardCapturedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            shard_index=order.shard.index,
            device_id=self._device.device_id,
            files=files,
            tokens=order.shard.tokens,
            seconds=seconds,
        )

    async def _with_model(
        self, order: CaptureShard, on_progress: Callable[[int], None]
    ) -> tuple[list[ColumnFile], float] | None:
        asked = time.monotonic()
        async with self._residency.lease(
            order.model_id, order.task_id, order.artifact, order.wish
        ) as resident:
            # The model's way into memory is none of the pace at which it works.
            start = time.monotonic()
            self._metrics.phase_seconds.labels("place").observe(start - asked)
            try:
                files = await self._attempt(order, resident, on_progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._metrics.out_of_memory.inc()
                files = await self._again(order, resident, on_progress)
            if files is None:
                return None
            seconds = time.monotonic() - start
            self._metrics.phase_seconds.labels("capture").observe(seconds)
            return files, seconds

    async def _again(
        self, order: CaptureShard, resident: Resident, on_progress: Callable[[int], None]
    ) -> list[ColumnFile] | None:
        """Capture once more, without the models that only wait in memory."""
        try:
            if await self._residency.make_room():
                return await self._attempt(order, resident, on_progress)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        facts = self._device.known_facts()
        raise InsufficientMemory(
            "A sample does not fit the device's memory beside the model.",
            reason="sample_too_large",
            required_memory_gb=gigabytes(resident.memory_bytes + resident.sizing.need().working),
            available_memory_gb=gigabytes(facts.memory_budget_bytes),
            remedy="Set a smaller max_length, or choose fewer hook points.",
        )

    async def _attempt(
        self, order: CaptureShard, resident: Resident, on_progress: Callable[[int], None]
    ) -> list[ColumnFile] | None:
        left = threading.Event()

        def should_stop() -> bool:
            return left.is_set() or order.task_id in self._cancellations

        try:
            with span(
                "capture",
                extraction_id=order.extraction_id,
                shard=order.shard.index,
                samples=order.shard.samples,
                tokens=order.shard.tokens,
            ):
                return await self._device.run(
                    lambda: self._capturing.capture(
                        order, resident.model, resident.sizing, on_progress, should_stop
                    )
                )
        except asyncio.CancelledError:
            # The process ends; the thread must not write on for a message that goes back.
            left.set()
            raise
