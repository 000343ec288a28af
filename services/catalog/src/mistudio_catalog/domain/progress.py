"""How far a load is, as its worker says; and that it has stopped moving.

Work that waits for a worker is not stalled, however long it takes: the clock runs from a worker's
first word on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mistudio_contracts import events, reports, rpc, subjects
from mistudio_contracts.errors import ErrorBody, ErrorCode
from mistudio_contracts.states import LoadStage, ModelStatus

from . import loading
from .loading import Step
from .model import Figures, ModelPhase, ModelState
from .outgoing import Outgoing
from .residency import release

BEFORE_READY = 99.0
"""The most that progress shows before the load is over."""

_STAGES = list(LoadStage)
_TELL_POINTS = 1.0
_TELL_SECONDS = 2.0


def progressed(model: ModelState, report: reports.LoadProgressedReport, now: datetime) -> Step:
    """Take live progress: stage and percentage only ever go forward.

    Placing a ready model again moves too, and is no news.
    """
    under_way = model.status is ModelStatus.LOADING or model.phase is ModelPhase.PLACING
    if not under_way or model.task_id != report.task_id:
        return model, ()
    figures = Figures(report.stage, report.progress, report.bytes_done)
    heard = replace(
        model,
        heard_at=now,
        figures=figures,
        progressed_at=now if _moved(model, report, figures) else model.progressed_at,
    )
    if model.status is not ModelStatus.LOADING:
        return heard, ()
    stage = _later(model.stage, report.stage)
    progress = max(model.progress, min(report.progress, BEFORE_READY))
    heard = replace(heard, stage=stage, progress=progress)
    if not report.retry and not _worth_telling(model, heard, now):
        return heard, ()
    told = replace(heard, told_progress=progress, told_at=now, updated_at=now)
    event = events.ModelLoadProgress(
        model_id=model.id,
        status=ModelStatus.LOADING,
        task_id=report.task_id,
        stage=stage,
        progress=progress,
        message=report.message,
        bytes_done=report.bytes_done,
        bytes_total=report.bytes_total,
        bytes_per_second=report.bytes_per_second,
        seconds_left=report.seconds_left,
        retry=report.retry,
        timestamp=now,
    )
    return told, (Outgoing(subjects.MODEL_LOAD_PROGRESS, event, model.id),)


def _moved(model: ModelState, report: reports.LoadProgressedReport, figures: Figures) -> bool:
    """Return whether a report shows more than that its worker lives.

    It is compared with the report before, not with the farthest: an attempt that begins again,
    after its worker was killed, moves from where it begins.
    """
    before = model.figures
    if before is None or model.progressed_at is None or report.retry or report.waiting:
        return True
    if figures.stage is not before.stage:
        return _later(before.stage, figures.stage) is not before.stage
    if figures.progress > before.progress:
        return True
    return (figures.bytes_done or 0) > (before.bytes_done or 0)


def _later(known: LoadStage | None, told: LoadStage) -> LoadStage:
    return told if known is None else max(known, told, key=_STAGES.index)


def _worth_telling(before: ModelState, after: ModelState, now: datetime) -> bool:
    if after.stage is not before.stage:
        return True
    if after.progress - before.told_progress >= _TELL_POINTS:
        return True
    silent = before.told_at is None or (now - before.told_at).total_seconds() >= _TELL_SECONDS
    return silent and after.progress > before.told_progress


def stalled(model: ModelState, before: datetime, now: datetime) -> Step:
    """End a load whose worker has got nowhere since ``before``, and void its task.

    The workers are told to stop: the loader ends its child process, a device lets go.
    """
    if model.progressed_at is None or model.progressed_at >= before or model.task_id is None:
        return model, ()
    stage = model.figures.stage if model.figures else model.stage
    seconds = int((now - model.progressed_at).total_seconds())
    error = ErrorBody(
        code=ErrorCode.MODEL_LOAD_FAILED,
        message=f"The load has not moved for {seconds} s while {stage}.",
        details={
            "reason": "stalled",
            "stage": str(stage),
            "seconds": seconds,
            "remedy": "Load the model again; what was downloaded is kept. If it stays so, look "
            "whether the hub, the disk or the device answers.",
        },
        timestamp=now,
    )
    over, effects = loading.failed(model, model.task_id, error, now)
    if over is model:
        return model, ()
    stop = rpc.CancelWork(task_ids=[model.task_id])
    return over, (
        Outgoing(subjects.CONTROL_CANCEL, stop, model.id, model.pool),
        release(over),
        *effects,
    )
