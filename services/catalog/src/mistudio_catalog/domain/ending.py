"""How an extraction ends: exactly once, in one of three ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mistudio_contracts import events, rpc, subjects
from mistudio_contracts.errors import ErrorBody, ErrorCode, StatusConflict
from mistudio_contracts.states import ExtractionStatus

from .extraction import ExtractionPhase, ExtractionState, Holding
from .outgoing import Effects, Outgoing

Step = tuple[ExtractionState, Effects]


def completed(extraction: ExtractionState, holding: Holding, cached: bool, now: datetime) -> Step:
    """The columns are in the store: the extraction is over."""
    if extraction.status.terminal:
        return extraction, ()
    extent = holding.extent
    seconds = max((now - extraction.created_at).total_seconds(), 0.0)
    over = replace(
        extraction,
        status=ExtractionStatus.COMPLETED,
        phase=ExtractionPhase.DONE,
        progress=100.0,
        samples_processed=extent.samples,
        total_samples=extent.samples,
        total_tokens=extent.tokens,
        skipped=extent.skipped,
        cached=cached,
        cache_id=holding.cache_id,
        storage_path=holding.storage_path,
        file_size_bytes=holding.bytes,
        width=holding.width,
        extraction_time_seconds=seconds,
        completed_at=now,
        updated_at=now,
    )
    event = events.ExtractionCompleted(
        extraction_id=over.id,
        model_id=over.model_id,
        status=ExtractionStatus.COMPLETED,
        cache_id=holding.cache_id,
        cached=cached,
        storage_path=holding.storage_path,
        file_size_bytes=holding.bytes,
        total_samples=extent.samples,
        total_tokens=extent.tokens,
        extraction_time_seconds=seconds,
        timestamp=now,
    )
    return over, (Outgoing(subjects.EXTRACTION_COMPLETED, event, over.id),)


def failed(extraction: ExtractionState, error: ErrorBody, now: datetime) -> Step:
    """The extraction ends in an error; what its task still does is void."""
    if extraction.status.terminal:
        return extraction, ()
    over = _ended(extraction, ExtractionStatus.FAILED, error, now)
    event = events.ExtractionFailed(
        extraction_id=over.id,
        model_id=over.model_id,
        status=ExtractionStatus.FAILED,
        error=error,
        timestamp=now,
    )
    return over, (
        *_stop(extraction),
        Outgoing(subjects.EXTRACTION_FAILED, event, over.id),
    )


def cancelled(extraction: ExtractionState, now: datetime) -> Step:
    """Call an extraction off. One that was cancelled before stays so.

    Raises
    ------
    StatusConflict
        It is over already.
    """
    if extraction.status is ExtractionStatus.CANCELLED:
        return extraction, ()
    if extraction.status.terminal:
        raise StatusConflict(
            f"The extraction is {extraction.status} already.",
            reason="already_over",
            status=str(extraction.status),
            remedy="Only a queued or running extraction can be cancelled.",
        )
    over = _ended(extraction, ExtractionStatus.CANCELLED, None, now)
    event = events.ExtractionCancelled(
        extraction_id=over.id,
        model_id=over.model_id,
        status=ExtractionStatus.CANCELLED,
        timestamp=now,
    )
    return over, (
        *_stop(extraction),
        Outgoing(subjects.EXTRACTION_CANCELLED, event, over.id),
    )


def _ended(
    extraction: ExtractionState, status: ExtractionStatus, error: ErrorBody | None, now: datetime
) -> ExtractionState:
    return replace(
        extraction,
        status=status,
        phase=ExtractionPhase.DONE,
        error=error,
        completed_at=now,
        updated_at=now,
    )


def _stop(extraction: ExtractionState) -> Effects:
    if extraction.task_id is None:
        return ()
    message = rpc.CancelWork(task_ids=[extraction.task_id])
    return (Outgoing(subjects.CONTROL_CANCEL, message, extraction.id, extraction.pool),)


def because_of_model(error: ErrorBody | None, now: datetime) -> ErrorBody:
    """Return why an extraction fails whose model could not be loaded."""
    cause = error.details if error else {}
    return ErrorBody(
        code=ErrorCode.EXTRACTION_FAILED,
        message="The model could not be loaded"
        + (f": {error.message}" if error else "; its load was cancelled."),
        details={
            **cause,
            "reason": "model_load_failed" if error else "load_cancelled",
            **({"cause": str(error.code)} if error else {}),
            "remedy": cause.get("remedy") or "Load the model, then request the extraction again.",
        },
        timestamp=now,
    )
