"""Reports of workers, and their live progress."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from faststream.nats import NatsBroker

from mistudio_catalog.services.catalog import Catalog
from mistudio_contracts import reports as r
from mistudio_contracts import subjects
from mistudio_contracts.subjects import Subject
from mistudio_servicekit.consume import Delivery, consume, listen

RETRIES = 8


def register_reports(broker: NatsBroker, catalog: Catalog) -> None:
    """Read every report subject, and hear the live ones."""

    async def model_failed(report: r.ModelWorkFailedReport) -> None:
        await catalog.loads.failed(report.model_id, report.task_id, report.failure.error)

    async def extraction_failed(report: r.ExtractionWorkFailedReport) -> None:
        await catalog.capture.failed(report.extraction_id, report.task_id, report.failure.error)

    doors: tuple[tuple[Subject, Callable[[Any], Awaitable[None]]], ...] = (
        (subjects.REPORT_PREPARED, catalog.loads.prepared),
        (subjects.REPORT_PREPARE_FAILED, model_failed),
        (subjects.REPORT_PLACED, catalog.loads.placed),
        (subjects.REPORT_PLACE_FAILED, model_failed),
        (subjects.REPORT_EVICTED, catalog.loads.evicted),
        (subjects.REPORT_INGESTED, catalog.datasets.ingested),
        (subjects.REPORT_INGEST_FAILED, catalog.datasets.failed),
        (subjects.REPORT_PLANNED, catalog.capture.planned),
        (subjects.REPORT_SHARD, catalog.capture.captured),
        (subjects.REPORT_COMMITTED, catalog.capture.committed),
        (subjects.REPORT_EXTRACTION_FAILED, extraction_failed),
        (subjects.REPORT_STORE_EVICTED, catalog.stores.evicted),
    )
    for subject, take in doors:
        _open(broker, subject, take)
    listen(broker, subjects.LIVE_LOAD, catalog.loads.progressed, shared=True)
    listen(broker, subjects.LIVE_SHARD, catalog.capture.progressed, shared=True)


def _open(broker: NatsBroker, subject: Subject, take: Callable[[Any], Awaitable[None]]) -> None:
    async def handle(report: r.Report, _: Delivery) -> None:
        await take(report)

    consume(broker, subject, handle, retries=RETRIES)
