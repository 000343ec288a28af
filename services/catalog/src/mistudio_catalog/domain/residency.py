"""How a model leaves device memory or never gets there, and comes back to a restarted device."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mistudio_contracts import events, reports, rpc, subjects
from mistudio_contracts.errors import StatusConflict
from mistudio_contracts.states import ModelStatus

from .loading import Step, order, request_load
from .model import ModelPhase, ModelState
from .outgoing import Outgoing


def request_unload(model: ModelState, active: int, task_id: str, now: datetime) -> Step:
    """Begin to let go of a ready model; one that is out, or on its way out, stays as it is.

    Who unloads a pinned model wants it out, also when its device starts next: it is pinned no
    longer. ``active`` is the number of its extractions that are queued or running.

    Raises
    ------
    StatusConflict
        The model is loading, was never loaded, or is in use.
    """
    if model.status is ModelStatus.UNLOADED:
        return (replace(model, pinned=False, updated_at=now) if model.pinned else model), ()
    if model.status is ModelStatus.LOADING:
        raise StatusConflict(
            "The model is being loaded.",
            reason="loading",
            status=str(model.status),
            remedy="Cancel the load instead.",
        )
    if model.status is not ModelStatus.READY:
        raise StatusConflict(
            f"The model is {model.status}; there is nothing to unload.",
            reason="not_loaded",
            status=str(model.status),
            remedy="Only a ready model can be unloaded.",
        )
    if active:
        raise in_use(model, active)
    if model.phase is ModelPhase.RELEASING:
        return model, (release(model),)
    leaving = replace(
        model,
        phase=ModelPhase.RELEASING,
        pinned=False,
        task_id=task_id,
        heard_at=now,
        updated_at=now,
    )
    return leaving, (release(leaving),)


def cancel_load(model: ModelState, task_id: str, now: datetime) -> Step:
    """Call a load off; what its task still reports is void.

    Raises
    ------
    StatusConflict
        Nothing is being loaded.
    """
    if model.status is not ModelStatus.LOADING:
        raise StatusConflict(
            f"The model is {model.status}; there is no load to cancel.",
            reason="not_loading",
            status=str(model.status),
            remedy="Only a load under way can be cancelled.",
        )
    void = model.task_id
    back = replace(
        model,
        status=model.resting,
        phase=ModelPhase.IDLE,
        stage=None,
        progress=0.0,
        task_id=task_id,
        device_id=None,
        memory_usage_bytes=None,
        updated_at=now,
    )
    stop = rpc.CancelWork(task_ids=[void] if void else [])
    event = events.ModelUnloaded(
        model_id=model.id, status=back.status, reason="cancelled", timestamp=now
    )
    return back, (
        Outgoing(subjects.CONTROL_CANCEL, stop, model.id, model.pool),
        release(back),
        Outgoing(subjects.MODEL_UNLOADED, event, model.id),
    )


def in_use(model: ModelState, active: int) -> StatusConflict:
    """Return the refusal to touch a model that extractions need."""
    one = active == 1
    return StatusConflict(
        f"{active} extraction{'' if one else 's'} on this model {'is' if one else 'are'} "
        "queued or running.",
        reason="in_use",
        status=str(model.status),
        active_extractions=active,
        remedy="Wait for them, or cancel them first.",
    )


def release(model: ModelState) -> Outgoing:
    """Return the broadcast that asks a pool to let go of the model."""
    message = rpc.ReleaseModel(model_id=model.id, task_id=model.task_id or model.id)
    return Outgoing(subjects.CONTROL_RELEASE, message, model.id, model.pool)


def evicted(
    model: ModelState, report: reports.ModelEvictedReport, task_id: str, now: datetime
) -> Step:
    """A device says that it let go.

    A device that shuts down comes back and is given its models again, so they stay ready. One
    that let go because of a wish that is out of date is given the model again at once, as
    ``task_id``.
    """
    if model.status is not ModelStatus.READY:
        return model, ()
    known = (
        {model.task_id}
        if model.phase is ModelPhase.PLACING
        else {model.task_id, model.placed_task_id}
    )
    if report.task_id not in known:
        return model, ()
    if model.phase is ModelPhase.RELEASING:
        return _out(model, "requested", report.freed_bytes, now)
    if report.reason == "shutdown":
        return model, ()
    if report.reason == "requested":
        return place_again(model, task_id, now)
    return _out(model, report.reason, report.freed_bytes, now)


def absent(model: ModelState, now: datetime) -> Step:
    """No device holds a model that is being let go of: its report was lost, or never due."""
    if model.phase is not ModelPhase.RELEASING:
        return model, ()
    return _out(model, "requested", model.memory_usage_bytes or 0, now)


def restored(model: ModelState, now: datetime) -> Step:
    """A backup says that a device holds the model; no device of the present does."""
    if model.status is not ModelStatus.READY:
        return model, ()
    return _out(model, "device_lost", 0, now)


def _out(model: ModelState, reason: str, freed_bytes: int, now: datetime) -> Step:
    out = replace(
        model,
        status=ModelStatus.UNLOADED,
        phase=ModelPhase.IDLE,
        stage=None,
        progress=0.0,
        device_id=None,
        placed_task_id=None,
        memory_usage_bytes=None,
        updated_at=now,
    )
    event = events.ModelUnloaded(
        model_id=model.id,
        status=ModelStatus.UNLOADED,
        reason=reason,
        freed_bytes=freed_bytes,
        timestamp=now,
    )
    return out, (Outgoing(subjects.MODEL_UNLOADED, event, model.id),)


def preload(model: ModelState, task_id: str, now: datetime) -> Step:
    """A device has started: begin to load a pinned model that is nowhere.

    One that failed stays so until somebody asks: it may be what ended the device.
    """
    nowhere = model.status in (ModelStatus.PENDING, ModelStatus.UNLOADED)
    if not model.pinned or not nowhere:
        return model, ()
    return request_load(model, task_id, now)


def place_again(model: ModelState, task_id: str, now: datetime) -> Step:
    """A ready model is in no device's memory any more: order it there, silently."""
    if model.status is not ModelStatus.READY or model.phase is not ModelPhase.IDLE:
        return model, ()
    if model.artifact is None:
        return _out(model, "device_lost", 0, now)
    placing = replace(
        model,
        phase=ModelPhase.PLACING,
        task_id=task_id,
        figures=None,
        progressed_at=None,
        heard_at=now,
        updated_at=now,
    )
    return placing, order(placing)
