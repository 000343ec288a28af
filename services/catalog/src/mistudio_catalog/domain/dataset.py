"""A dataset as the catalog keeps it, and its ways from ingesting to ready or failed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mistudio_contracts import events, subjects, work
from mistudio_contracts.errors import ErrorBody
from mistudio_contracts.states import DatasetFormat, DatasetSource, DatasetStatus
from mistudio_contracts.values import DatasetFacts, DatasetRef

from .outgoing import Effects, Outgoing


@dataclass(frozen=True)
class DatasetState:
    """One row of ``datasets``; ``columns`` maps each to ``text``, ``tokens`` or ``other``."""

    id: str
    pool: str
    name: str
    source: DatasetSource
    identifier: str
    task_id: str
    created_at: datetime
    updated_at: datetime
    heard_at: datetime
    split: str = "train"
    subset: str | None = None
    revision: str | None = None
    format: DatasetFormat | None = None
    status: DatasetStatus = DatasetStatus.INGESTING
    fingerprint: str | None = None
    sample_count: int | None = None
    file_size_bytes: int | None = None
    columns: dict[str, str] = field(default_factory=dict)
    text_column: str | None = None
    preview: list[dict[str, Any]] = field(default_factory=list)
    error: ErrorBody | None = None

    @property
    def ref(self) -> DatasetRef | None:
        """What work orders name it by, once it is ready."""
        if self.fingerprint is None or self.sample_count is None:
            return None
        return DatasetRef(
            dataset_id=self.id, fingerprint=self.fingerprint, sample_count=self.sample_count
        )


Step = tuple[DatasetState, Effects]


def registered(dataset: DatasetState) -> Effects:
    """Return what the registration of a dataset sends."""
    event = events.DatasetRegistered(
        dataset_id=dataset.id,
        status=dataset.status,
        name=dataset.name,
        timestamp=dataset.created_at,
    )
    return (Outgoing(subjects.DATASET_REGISTERED, event, dataset.id), *order(dataset))


def order(dataset: DatasetState) -> Effects:
    """Return the order to ingest; none once that is over."""
    if dataset.status is not DatasetStatus.INGESTING:
        return ()
    ingest = work.IngestDataset(
        task_id=dataset.task_id,
        dataset_id=dataset.id,
        source=dataset.source,
        identifier=dataset.identifier,
        format=dataset.format,
        text_column=dataset.text_column,
        split=dataset.split,
        subset=dataset.subset,
        revision=dataset.revision,
    )
    return (Outgoing(subjects.WORK_INGEST, ingest, dataset.id, dataset.pool),)


def ingested(dataset: DatasetState, task_id: str, facts: DatasetFacts, now: datetime) -> Step:
    """The canonical dataset is on disk."""
    if dataset.status is not DatasetStatus.INGESTING or dataset.task_id != task_id:
        return dataset, ()
    ready = replace(
        dataset,
        status=DatasetStatus.READY,
        fingerprint=facts.fingerprint,
        format=facts.format,
        sample_count=facts.sample_count,
        file_size_bytes=facts.file_size_bytes,
        columns=facts.columns,
        text_column=facts.text_column,
        preview=facts.preview,
        heard_at=now,
        updated_at=now,
    )
    event = events.DatasetReady(
        dataset_id=dataset.id,
        status=DatasetStatus.READY,
        sample_count=facts.sample_count,
        fingerprint=facts.fingerprint,
        timestamp=now,
    )
    return ready, (Outgoing(subjects.DATASET_READY, event, dataset.id),)


def failed(dataset: DatasetState, task_id: str, error: ErrorBody, now: datetime) -> Step:
    """Ingestion ended in an error."""
    if dataset.status is not DatasetStatus.INGESTING or dataset.task_id != task_id:
        return dataset, ()
    over = replace(dataset, status=DatasetStatus.FAILED, error=error, updated_at=now)
    event = events.DatasetFailed(
        dataset_id=dataset.id, status=DatasetStatus.FAILED, error=error, timestamp=now
    )
    return over, (Outgoing(subjects.DATASET_FAILED, event, dataset.id),)
