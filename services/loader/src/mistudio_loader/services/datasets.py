"""What the loader does about datasets."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from mistudio_contracts import MiStudioError
from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.states import DatasetSource
from mistudio_contracts.values import DatasetFacts
from mistudio_contracts.work import IngestDataset
from mistudio_loader.config import LoaderSettings
from mistudio_loader.jobs import HubDataset, IngestJob
from mistudio_loader.metrics import Metrics
from mistudio_loader.storage.done import DoneIngestions
from mistudio_loader.storage.roots import LocalRoots
from mistudio_loader.storage.staging import Workshop
from mistudio_servicekit.cancellation import Cancellations

from .children import ChildDied, Children
from .uploads import Uploads


@dataclass
class Datasets:
    """Ingests and removes."""

    settings: LoaderSettings
    workshop: Workshop
    done: DoneIngestions
    uploads: Uploads
    children: Children
    cancellations: Cancellations
    metrics: Metrics = field(default_factory=Metrics)

    async def ingest(self, order: IngestDataset) -> DatasetFacts | None:
        """Ingest a dataset in a child process; None when the task was cancelled.

        Raises
        ------
        MiStudioError
            See :func:`~mistudio_loader.datasets.ingestion.ingest` and :meth:`~.Uploads.fetch`;
            and ServiceUnavailable, ``reason`` ``child_died``.
        """
        if order.task_id in self.cancellations:
            return None
        facts = await asyncio.to_thread(self.done.get, order.task_id)
        if facts is not None and (self.workshop.root / facts.fingerprint).is_dir():
            return facts
        await asyncio.to_thread(self.workshop.sweep)
        began, outcome = time.monotonic(), "failed"
        try:
            facts = await self._ingest(order)
            outcome = "ingested"
        except (MiStudioError, ChildDied) as error:
            if order.task_id in self.cancellations:
                outcome = "cancelled"
                await asyncio.to_thread(self.workshop.sweep)
                return None
            if isinstance(error, ChildDied):
                raise _died(error) from error
            raise
        finally:
            self.metrics.ingestions.labels(outcome).inc()
        self.metrics.ingest_seconds.observe(time.monotonic() - began)
        await asyncio.to_thread(self.done.put, order.task_id, facts)
        return facts

    async def forget(self, order: IngestDataset) -> None:
        """Delete the upload of an order that has been reported."""
        if order.source is DatasetSource.UPLOAD:
            await self.uploads.delete(order.identifier)

    async def remove(self, fingerprint: str) -> None:
        """Delete a canonical dataset; one that is not there is as good as deleted."""
        await asyncio.to_thread(self.workshop.remove, fingerprint)

    async def _ingest(self, order: IngestDataset) -> DatasetFacts:
        if order.source is DatasetSource.UPLOAD:
            with self.workshop.stage(order.task_id) as staging:
                target = staging / "upload"
                await self.uploads.fetch(
                    order.identifier,
                    target,
                    self.settings.dataset_max_bytes,
                    self.settings.disk_reserve_bytes,
                )
                return await self._in_child(order, target)
        if order.source is DatasetSource.LOCAL:
            roots = LocalRoots(self.settings.roots)
            return await self._in_child(order, roots.resolve(order.identifier, "identifier"))
        return await self._in_child(order, None)

    async def _in_child(self, order: IngestDataset, file: Path | None) -> DatasetFacts:
        hub = None
        if file is None:
            hub = HubDataset(
                repo_id=order.identifier,
                split=order.split,
                subset=order.subset,
                revision=order.revision,
                endpoint=self.settings.hf_endpoint,
                token=self.settings.huggingface_token,
            )
        job = IngestJob(
            task_id=order.task_id,
            root=self.settings.dataset_cache_dir,
            file=file,
            name=order.identifier,
            hub=hub,
            format=order.format,
            text_column=order.text_column,
            max_bytes=self.settings.dataset_max_bytes,
            memory_bytes=self.settings.dataset_memory_bytes,
            reserve_bytes=self.settings.disk_reserve_bytes,
        )
        answer = await self.children.run(order.task_id, "ingest", job)
        return DatasetFacts.model_validate(answer)


def _died(error: ChildDied) -> ServiceUnavailable:
    return ServiceUnavailable(
        "The process that read the dataset was ended from outside.",
        reason="child_died",
        returncode=error.returncode,
        remedy="Register the dataset again; if it happens again, look for a lack of memory.",
    )
