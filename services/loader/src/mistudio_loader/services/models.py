"""What the loader does about models, in the process that never holds one."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from dataclasses import dataclass, field
from datetime import datetime

from mistudio_contracts import ErrorCode, LoadStage, MiStudioError
from mistudio_contracts.errors import ModelLoadFailed, ServiceUnavailable
from mistudio_contracts.reports import LoadProgressedReport, ModelPreparedReport
from mistudio_contracts.rpc import InspectModelRequest
from mistudio_contracts.subjects import LIVE_LOAD
from mistudio_contracts.values import Failure, ModelFacts
from mistudio_contracts.work import PrepareModel
from mistudio_loader.config import LoaderSettings
from mistudio_loader.domain.progress import Step
from mistudio_loader.hub.client import HubClient
from mistudio_loader.jobs import Prepared, PrepareJob
from mistudio_loader.metrics import Metrics
from mistudio_loader.storage.roots import LocalRoots
from mistudio_loader.storage.staging import Workshop
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.cancellation import Cancellations

from .checkpoints import open_checkpoint
from .children import ChildDied, Children
from .inspection import inspect
from .reporting import LiveProgress
from .stages import Stages
from .timing import Timing
from .wanted import Wanted

logger = logging.getLogger(__name__)


@dataclass
class Models:
    """Inspects, prepares and removes."""

    settings: LoaderSettings
    workshop: Workshop
    children: Children
    cancellations: Cancellations
    publisher: Publisher
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self._wanted = Wanted(self.workshop)

    async def inspect(self, request: InspectModelRequest) -> ModelFacts:
        """Return what a checkpoint is, from its config and headers alone.

        Raises
        ------
        InvalidInput, ServiceUnavailable
            See :func:`~.inspection.inspect` and :func:`~.checkpoints.open_checkpoint`.
        """

        def work() -> ModelFacts:
            checkpoint = open_checkpoint(
                request.source,
                request.model_identifier,
                request.revision,
                LocalRoots(self.settings.roots),
                lambda: HubClient(self.settings.hf_endpoint, self.settings.huggingface_token),
            )
            return inspect(checkpoint).facts

        return await asyncio.to_thread(work)

    async def prepare(
        self, order: PrepareModel, ordered_at: datetime
    ) -> ModelPreparedReport | None:
        """Prepare a model in a child process; None when the task was cancelled.

        Parameters
        ----------
        order
            What to prepare.
        ordered_at
            When the bus took the order.

        Raises
        ------
        MiStudioError
            See :meth:`~.preparation.Preparation.run`; and ModelLoadFailed, transient, ``reason``
            ``child_died`` or ``artifact_missing``.
        """
        if order.task_id in self.cancellations:
            return None
        started = time.monotonic()
        await asyncio.to_thread(self.workshop.sweep)
        progress = LiveProgress(order.task_id, order.model_id, self._tell)
        timing, stages = Timing(self.metrics), Stages()
        outcome = "failed"

        async def step(step: Step) -> None:
            timing.step(step)
            stages.step(step)
            await progress.step(step)

        try:
            with stages:
                async with progress.beating():
                    # Its child imports for seconds before it says something itself.
                    await step(Step(LoadStage.RESOLVING, "Starting to prepare the model."))
                    answer = await self.children.run(
                        order.task_id, "prepare", self._job(order), step
                    )
            prepared = Prepared.model_validate(answer)
            await self._wanted.found(prepared.artifact.fingerprint, ordered_at)
            outcome = "prepared"
        except (MiStudioError, ChildDied) as error:
            if order.task_id in self.cancellations:
                outcome = "cancelled"
                await asyncio.to_thread(self.workshop.sweep)
                return None
            if isinstance(error, ChildDied):
                raise _died(error) from error
            raise
        finally:
            timing.end(outcome)
        return ModelPreparedReport(
            task_id=order.task_id,
            model_id=order.model_id,
            facts=prepared.facts,
            artifact=prepared.artifact,
            quantization_options=prepared.options,
            fidelity=prepared.fidelity,
            seconds=time.monotonic() - started,
        )

    async def remove(self, fingerprint: str, ordered_at: datetime) -> None:
        """Delete an artifact, as ordered then; see :meth:`~.wanted.Wanted.remove`."""
        await self._wanted.remove(fingerprint, ordered_at)

    def _job(self, order: PrepareModel) -> PrepareJob:
        return PrepareJob(
            task_id=order.task_id,
            source=order.source,
            model_identifier=order.model_identifier,
            revision=order.revision,
            quantization=order.quantization,
            quantization_options=order.quantization_options,
            root=self.settings.model_cache_dir,
            local_roots=self.settings.roots,
            endpoint=self.settings.hf_endpoint,
            token=self.settings.huggingface_token,
            reserve_bytes=self.settings.disk_reserve_bytes,
        )

    async def _tell(self, report: LoadProgressedReport) -> None:
        try:
            await self.publisher.publish(LIVE_LOAD, report, entity_id=report.model_id)
        except ServiceUnavailable as error:
            # Watchers miss a step; the work goes on.
            logger.info("progress was not told", extra={"cause": error.message})


_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT)
_CRASHED = "The process that prepared the model crashed."
_ENDED = "The process that prepared the model was ended from outside."


def _died(error: ChildDied) -> ModelLoadFailed:
    return ModelLoadFailed(
        _CRASHED if error.returncode in _CRASHES else _ENDED,
        transient=True,
        reason="child_died",
        returncode=error.returncode,
        remedy="Load the model again; if it happens again, look for a lack of memory.",
    )


def prepare_failure(error: MiStudioError) -> Failure:
    """Return what to report of a preparation that is given up."""
    if error.code is ErrorCode.INTERNAL_ERROR:
        error = ModelLoadFailed(
            "The model could not be prepared: an unexpected error.",
            transient=error.transient,
            reason=error.details.get("reason", "unexpected"),
            remedy="The loader's log has the details.",
        )
    return Failure(error=error.body(), transient=error.transient)
