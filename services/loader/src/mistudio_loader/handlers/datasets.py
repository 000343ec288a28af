"""Orders about datasets."""

from __future__ import annotations

from mistudio_contracts import MiStudioError
from mistudio_contracts.reports import DatasetFailedReport, DatasetIngestedReport
from mistudio_contracts.subjects import REPORT_INGEST_FAILED, REPORT_INGESTED
from mistudio_contracts.values import Failure
from mistudio_contracts.work import IngestDataset, RemoveDataset
from mistudio_loader.services.datasets import Datasets
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery


class DatasetHandlers:
    """Each method handles one subject."""

    def __init__(self, datasets: Datasets, publisher: Publisher) -> None:
        self._datasets = datasets
        self._publisher = publisher

    async def ingest(self, order: IngestDataset, delivery: Delivery) -> None:
        facts = await self._datasets.ingest(order)
        if facts is not None:
            await self._publisher.publish(
                REPORT_INGESTED,
                DatasetIngestedReport(
                    task_id=order.task_id, dataset_id=order.dataset_id, facts=facts
                ),
                entity_id=order.dataset_id,
                msg_id=delivery.report_id("ingested"),
            )
        # Only now: an upload deleted before its report is kept could not be read again.
        await self._datasets.forget(order)

    async def give_up(self, order: IngestDataset, error: MiStudioError, delivery: Delivery) -> None:
        await self._publisher.publish(
            REPORT_INGEST_FAILED,
            DatasetFailedReport(
                task_id=order.task_id,
                dataset_id=order.dataset_id,
                failure=Failure(error=error.body(), transient=error.transient),
            ),
            entity_id=order.dataset_id,
            msg_id=delivery.report_id("ingest-failed"),
        )
        await self._datasets.forget(order)

    async def remove(self, order: RemoveDataset, delivery: Delivery) -> None:
        await self._datasets.remove(order.fingerprint)
