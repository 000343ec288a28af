"""Orders and questions about models."""

from __future__ import annotations

from mistudio_contracts import MiStudioError
from mistudio_contracts.reports import ModelWorkFailedReport
from mistudio_contracts.rpc import InspectModelRequest
from mistudio_contracts.subjects import REPORT_PREPARE_FAILED, REPORT_PREPARED
from mistudio_contracts.values import ModelFacts
from mistudio_contracts.work import PrepareModel, RemoveArtifact
from mistudio_loader.services.models import Models, prepare_failure
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery


class ModelHandlers:
    """Each method handles one subject."""

    def __init__(self, models: Models, publisher: Publisher) -> None:
        self._models = models
        self._publisher = publisher

    async def inspect(self, request: InspectModelRequest) -> ModelFacts:
        return await self._models.inspect(request)

    async def prepare(self, order: PrepareModel, delivery: Delivery) -> None:
        report = await self._models.prepare(order, delivery.published_at)
        if report is not None:
            await self._publisher.publish(
                REPORT_PREPARED,
                report,
                entity_id=order.model_id,
                msg_id=delivery.report_id("prepared"),
            )

    async def give_up(self, order: PrepareModel, error: MiStudioError, delivery: Delivery) -> None:
        await self._publisher.publish(
            REPORT_PREPARE_FAILED,
            ModelWorkFailedReport(
                task_id=order.task_id, model_id=order.model_id, failure=prepare_failure(error)
            ),
            entity_id=order.model_id,
            msg_id=delivery.report_id("prepare-failed"),
        )

    async def remove(self, order: RemoveArtifact, delivery: Delivery) -> None:
        await self._models.remove(order.fingerprint, delivery.published_at)
