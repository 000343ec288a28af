"""Datasets: registered, ingested, shown and deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mistudio_catalog.domain import dataset as domain
from mistudio_catalog.domain import identifiers
from mistudio_catalog.domain.dataset import DatasetState, Step
from mistudio_catalog.domain.outgoing import Effects, Outgoing
from mistudio_catalog.storage.database import Transaction
from mistudio_catalog.storage.removals import Removal
from mistudio_contracts import events, reports, rpc, subjects, views
from mistudio_contracts.base import new_id
from mistudio_contracts.errors import StatusConflict
from mistudio_contracts.states import DatasetStatus

from . import views as show
from .context import Context
from .missing import missing
from .once import once


class Datasets:
    """The register of datasets."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def register(self, request: rpc.RegisterDatasetRequest) -> views.Dataset:
        """Register a dataset; its ingestion begins at once."""
        identifiers.check_dataset_identifier(request.source, request.identifier)
        async with self._context.database.transaction() as tx:
            return await once(
                tx, request, views.Dataset, self._context.now(), lambda: self._insert(tx, request)
            )

    async def _insert(self, tx: Transaction, request: rpc.RegisterDatasetRequest) -> views.Dataset:
        now = self._context.now()
        dataset = DatasetState(
            id=new_id("ds", request.name),
            pool=self._context.settings.pool,
            name=request.name,
            source=request.source,
            identifier=request.identifier,
            task_id=new_id("task"),
            created_at=now,
            updated_at=now,
            heard_at=now,
            split=request.split,
            subset=request.subset,
            revision=request.revision,
            format=request.format,
            text_column=request.text_column,
        )
        await tx.datasets.insert(dataset)
        await tx.send(domain.registered(dataset))
        return show.dataset(dataset)

    async def page(self, request: rpc.ListDatasetsRequest) -> views.DatasetPage:
        async with self._context.database.reading() as tx:
            found, total = await tx.datasets.page(limit=request.limit, offset=request.offset)
        return views.DatasetPage(
            datasets=[show.dataset(dataset) for dataset in found],
            total=total,
            limit=request.limit,
            offset=request.offset,
        )

    async def get(self, request: rpc.GetDatasetRequest) -> views.Dataset:
        async with self._context.database.reading() as tx:
            dataset = await tx.datasets.get(request.dataset_id)
        if dataset is None:
            raise missing("dataset", request.dataset_id)
        return show.dataset(dataset)

    async def delete(self, request: rpc.DeleteDatasetRequest) -> rpc.Done:
        """Delete a dataset; its caches stay. Files that no other dataset has leave the disk.

        Raises
        ------
        StatusConflict
            Extractions over it are queued or running.
        """
        now = self._context.now()
        async with self._context.database.transaction() as tx:
            dataset = await tx.datasets.lock(request.dataset_id)
            if dataset is None:
                raise missing("dataset", request.dataset_id)
            active = await tx.extractions.count_active_on_dataset(dataset.id)
            if active:
                raise StatusConflict(
                    f"{active} extraction{'s' if active > 1 else ''} over this dataset "
                    f"{'are' if active > 1 else 'is'} queued or running.",
                    reason="in_use",
                    status=str(dataset.status),
                    active_extractions=active,
                    remedy="Wait for them, or cancel them first.",
                )
            await tx.datasets.delete(dataset.id)
            gone = events.DatasetDeleted(dataset_id=dataset.id, timestamp=now)
            await tx.send((*_stop(dataset), Outgoing(subjects.DATASET_DELETED, gone, dataset.id)))
            if dataset.fingerprint is not None:
                await tx.removals.insert(Removal("dataset", dataset.fingerprint, dataset.pool))
        self._context.wake()
        return rpc.Done()

    async def ingested(self, report: reports.DatasetIngestedReport) -> None:
        """The canonical dataset is on disk; one that was deleted meanwhile leaves it again."""
        async with self._context.database.transaction() as tx:
            dataset = await tx.datasets.lock(report.dataset_id)
            if dataset is None:
                pool = self._context.settings.pool
                await tx.removals.insert(Removal("dataset", report.facts.fingerprint, pool))
                return
            after, effects = domain.ingested(
                dataset, report.task_id, report.facts, self._context.now()
            )
            if after is not dataset:
                await tx.datasets.save(after)
                await tx.send(effects)

    async def failed(self, report: reports.DatasetFailedReport) -> None:
        """Ingestion ended in an error."""
        await self._step(
            report.dataset_id,
            lambda dataset, now: domain.failed(dataset, report.task_id, report.failure.error, now),
        )

    async def _step(self, dataset_id: str, step: Callable[[DatasetState, datetime], Step]) -> None:
        async with self._context.database.transaction() as tx:
            dataset = await tx.datasets.lock(dataset_id)
            if dataset is None:
                return
            after, effects = step(dataset, self._context.now())
            if after is not dataset:
                await tx.datasets.save(after)
                await tx.send(effects)


def _stop(dataset: DatasetState) -> Effects:
    if dataset.status is not DatasetStatus.INGESTING:
        return ()
    stop = rpc.CancelWork(task_ids=[dataset.task_id])
    return (Outgoing(subjects.CONTROL_CANCEL, stop, dataset.id, dataset.pool),)
