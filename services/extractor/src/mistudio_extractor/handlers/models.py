"""Orders about models: bring in, let go."""

from __future__ import annotations

from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import (
    LoadProgressedReport,
    ModelPlacedReport,
    ModelWorkFailedReport,
)
from mistudio_contracts.rpc import CancelWork, ReleaseModel
from mistudio_contracts.states import LoadStage
from mistudio_contracts.values import Failure
from mistudio_contracts.work import PlaceModel
from mistudio_extractor.services.device import Device
from mistudio_extractor.services.live import Beat
from mistudio_extractor.services.models import hook_points
from mistudio_extractor.services.residency import Residency
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.consume import Delivery

PLACING_FROM, PLACING_TO = 85.0, 100.0
_GROWS = 0.95
"""Up to this part of the way progress follows the memory taken; then the model is there."""


class ModelHandlers:
    """Handlers of ``work.*.model.place`` and ``control.*``."""

    def __init__(
        self,
        residency: Residency,
        device: Device,
        cancellations: Cancellations,
        publisher: Publisher,
    ) -> None:
        self._residency, self._device = residency, device
        self._cancellations, self._publisher = cancellations, publisher

    async def place(self, order: PlaceModel, delivery: Delivery) -> None:
        """Bring a model in and report what it takes."""
        if order.task_id in self._cancellations:
            return
        before = self._device.occupied_bytes()

        def part_done() -> float:
            nonlocal before
            occupied = self._device.occupied_bytes()
            if self._residency.is_waiting(order.task_id):
                before = occupied
            return min(_GROWS, max(0, occupied - before) / max(1, order.artifact.bytes))

        async def send(part: float) -> None:
            await self._progress(order, part)

        try:
            async with Beat(send, 1.0, part_done) as beat:
                resident = await self._residency.place(
                    order.model_id, order.task_id, order.artifact, order.wish, force=order.force
                )
                beat.tell(1.0)
        except MiStudioError:
            if order.task_id in self._cancellations:
                return  # Called off while it waited for room.
            raise
        if order.task_id in self._cancellations:
            await self._residency.release(order.model_id, order.task_id)
            return
        report = ModelPlacedReport(
            task_id=order.task_id,
            model_id=order.model_id,
            device_id=self._device.device_id,
            memory_usage_bytes=resident.memory_bytes,
            hook_points=hook_points(resident.model),
            seconds=resident.seconds,
        )
        await self._publisher.publish(
            subjects.REPORT_PLACED,
            report,
            entity_id=order.model_id,
            msg_id=delivery.report_id("placed"),
        )

    async def give_up(self, order: PlaceModel, error: MiStudioError, delivery: Delivery) -> None:
        """Report that a model cannot be brought in."""
        report = ModelWorkFailedReport(
            task_id=order.task_id,
            model_id=order.model_id,
            failure=Failure(error=error.body(), transient=error.transient),
        )
        await self._publisher.publish(
            subjects.REPORT_PLACE_FAILED,
            report,
            entity_id=order.model_id,
            msg_id=delivery.report_id("place-failed"),
        )

    async def release(self, message: ReleaseModel) -> None:
        """Let go of a model."""
        await self._residency.release(message.model_id, message.task_id)

    async def cancel(self, message: CancelWork) -> None:
        """Void tasks."""
        self._cancellations.cancel(message.task_ids)

    async def _progress(self, order: PlaceModel, part: float) -> None:
        waits = self._residency.is_waiting(order.task_id)
        report = LoadProgressedReport(
            task_id=order.task_id,
            model_id=order.model_id,
            stage=LoadStage.PLACING,
            progress=round(PLACING_FROM + part * (PLACING_TO - PLACING_FROM), 2),
            message="Waiting for room in device memory" if waits else "Placing in device memory",
            waiting=waits,
        )
        await self._publisher.publish(subjects.LIVE_LOAD, report, entity_id=order.model_id)
