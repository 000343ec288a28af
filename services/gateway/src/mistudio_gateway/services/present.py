"""The newest state of what is under way: where live progress begins for a new subscriber."""

from __future__ import annotations

from mistudio_contracts import rpc
from mistudio_contracts.events import ExtractionProgress, ModelLoadProgress
from mistudio_contracts.states import ExtractionStatus, LoadStage, ModelStatus
from mistudio_contracts.subjects import (
    EXTRACTION_PROGRESS,
    MODEL_LOAD_PROGRESS,
    RPC_EXTRACTION_LIST,
    RPC_MODEL_LIST,
)
from mistudio_contracts.views import Extraction, ExtractionPage, ModelPage, ModelSummary
from mistudio_gateway.domain.events import Interest, PublicEvent, public_event
from mistudio_gateway.domain.guard import Step

from .catalog import Catalog
from .shared import Shared

MOST = 500
UNDER_WAY = (ExtractionStatus.EXTRACTING, ExtractionStatus.QUEUED)

Steps = list[tuple[Step, PublicEvent]]


class Present:
    """What is under way, asked of the catalog once for all clients that come at once.

    The question is asked once they hear of events: nobody misses a step.

    Parameters
    ----------
    catalog
        Whom to ask.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._shared: Shared[Steps] = Shared()

    async def of(self, interest: Interest) -> Steps:
        """Return the loads and extractions under way that a client wants to hear of.

        Raises
        ------
        MiStudioError
            When the catalog does not answer.
        """
        if not (interest.any_model or interest.any_extraction):
            return []
        found = await self._shared.of("present", self._ask)
        return [(step, event) for step, event in found if interest.wants(event.payload)]

    async def _ask(self) -> Steps:
        models = await self._catalog.ask(
            RPC_MODEL_LIST,
            rpc.ListModelsRequest(status=ModelStatus.LOADING, limit=MOST),
            ModelPage,
        )
        found = [_load(model) for model in models.models if model.task_id]
        for status in UNDER_WAY:
            page = await self._catalog.ask(
                RPC_EXTRACTION_LIST,
                rpc.ListExtractionsRequest(status=status, limit=MOST),
                ExtractionPage,
            )
            found += [_extraction(each) for each in page.extractions]
        return found


def _load(model: ModelSummary) -> tuple[Step, PublicEvent]:
    task = model.task_id or ""
    event = ModelLoadProgress(
        model_id=model.id,
        status=model.status,
        task_id=task,
        stage=model.stage or LoadStage.RESOLVING,
        progress=model.progress,
        timestamp=model.updated_at,
    )
    step = Step(model.id, task, model.progress)
    return step, public_event(None, MODEL_LOAD_PROGRESS.pattern, event)


def _extraction(extraction: Extraction) -> tuple[Step, PublicEvent]:
    event = ExtractionProgress(
        extraction_id=extraction.extraction_id,
        model_id=extraction.model_id,
        status=extraction.status,
        progress=extraction.progress,
        samples_processed=extraction.samples_processed,
        total_samples=extraction.total_samples or 0,
        seconds_left=extraction.seconds_left,
        timestamp=extraction.updated_at,
    )
    step = Step(extraction.extraction_id, extraction.extraction_id, extraction.progress)
    return step, public_event(None, EXTRACTION_PROGRESS.pattern, event)
