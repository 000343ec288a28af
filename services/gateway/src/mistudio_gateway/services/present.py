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

MOST = 500
UNDER_WAY = (ExtractionStatus.EXTRACTING, ExtractionStatus.QUEUED)


async def present(catalog: Catalog, interest: Interest) -> list[tuple[Step, PublicEvent]]:
    """Return the loads and extractions under way that a client wants to hear of.

    Raises
    ------
    MiStudioError
        When the catalog does not answer.
    """
    found: list[tuple[Step, PublicEvent]] = []
    if interest.any_model:
        models = await catalog.ask(
            RPC_MODEL_LIST,
            rpc.ListModelsRequest(status=ModelStatus.LOADING, limit=MOST),
            ModelPage,
        )
        found.extend(_load(m) for m in models.models if m.task_id and interest.model(m.id))
    if interest.any_extraction:
        for status in UNDER_WAY:
            page = await catalog.ask(
                RPC_EXTRACTION_LIST,
                rpc.ListExtractionsRequest(status=status, limit=MOST),
                ExtractionPage,
            )
            found.extend(
                _extraction(e) for e in page.extractions if interest.extraction(e.extraction_id)
            )
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
