"""The ways of a model between its states, and what each sends.

Every function takes the present state and returns the next with its messages. A report of a task
that the model no longer names changes nothing and sends nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from mistudio_contracts import events, reports, subjects, work
from mistudio_contracts.errors import ErrorBody, StatusConflict
from mistudio_contracts.states import LoadStage, ModelStatus, Quantization
from mistudio_contracts.values import Fidelity, QuantizationOptions

from .model import ModelPhase, ModelState, described
from .outgoing import Effects, Outgoing

Step = tuple[ModelState, Effects]

PLACING_FROM = 85.0
"""Where the progress of a load stands when the artifact is on disk."""


def request_load(
    model: ModelState,
    task_id: str,
    now: datetime,
    *,
    quantization: Quantization | None = None,
    options: QuantizationOptions | None = None,
    force: bool = False,
) -> Step:
    """Accept a load; null keeps what is registered. One under way answers with itself.

    ``force`` of a second request still counts where the model is not being placed yet.

    Raises
    ------
    StatusConflict
        The model is ready, on its way out, or being loaded in another format.
    """
    if model.status is ModelStatus.LOADING:
        if model.is_of(quantization, options):
            late = model.phase is ModelPhase.PLACING or model.force or not force
            return (model if late else replace(model, force=True)), ()
        raise StatusConflict(
            f"The model is being loaded as {model.quantization}.",
            reason="already_loading",
            status=str(model.status),
            remedy="Cancel the load first, or wait for it.",
        )
    if model.status is ModelStatus.READY:
        raise _not_while_ready(model)
    chosen = quantization or model.quantization
    loading = replace(
        model,
        status=ModelStatus.LOADING,
        phase=ModelPhase.WAITING,
        stage=LoadStage.RESOLVING,
        progress=0.0,
        told_progress=0.0,
        told_at=now,
        quantization=chosen,
        quantization_options=options or model.quantization_options,
        force=force,
        task_id=task_id,
        error=None,
        load_requested_at=now,
        load_started_at=None,
        load_time_seconds=None,
        heard_at=now,
        progressed_at=None,
        figures=None,
        updated_at=now,
    )
    event = events.ModelLoading(
        model_id=model.id,
        status=ModelStatus.LOADING,
        task_id=task_id,
        quantization=chosen,
        message="Model loading initiated",
        timestamp=now,
    )
    return loading, (Outgoing(subjects.MODEL_LOADING, event, model.id),)


def _not_while_ready(model: ModelState) -> StatusConflict:
    if model.phase is ModelPhase.RELEASING:
        return StatusConflict(
            "The model is being unloaded.",
            reason="unloading",
            status=str(model.status),
            remedy="Load it once it is unloaded.",
        )
    return StatusConflict(
        "The model is ready already.",
        reason="already_ready",
        status=str(model.status),
        remedy="Unload it first to load it again.",
    )


def admit(model: ModelState, now: datetime) -> Step:
    """Give a waiting load its slot: the loader gets its order."""
    if model.phase is not ModelPhase.WAITING:
        return model, ()
    admitted = replace(
        model, phase=ModelPhase.PREPARING, load_started_at=now, heard_at=now, updated_at=now
    )
    return admitted, order(admitted)


def order(model: ModelState) -> Effects:
    """Return the work order that the model's phase waits for; none where it waits for none."""
    if model.task_id is None:
        return ()
    if model.phase is ModelPhase.PREPARING:
        prepare = work.PrepareModel(
            task_id=model.task_id,
            model_id=model.id,
            source=model.source,
            model_identifier=model.model_identifier,
            revision=model.revision,
            quantization=model.quantization,
            quantization_options=model.quantization_options,
        )
        return (Outgoing(subjects.WORK_PREPARE, prepare, model.id, model.pool),)
    if model.phase is ModelPhase.PLACING and model.artifact is not None:
        place = work.PlaceModel(
            task_id=model.task_id,
            model_id=model.id,
            artifact=model.artifact,
            wish=model.wish,
            force=model.force,
        )
        return (Outgoing(subjects.WORK_PLACE, place, model.id, model.pool),)
    return ()


def prepared(model: ModelState, report: reports.ModelPreparedReport, now: datetime) -> Step:
    """The artifact is on disk: next it is placed."""
    if model.phase is not ModelPhase.PREPARING or model.task_id != report.task_id:
        return model, ()
    artifact = report.artifact
    options = report.quantization_options or model.quantization_options
    placing = replace(
        model,
        **described(report.facts),
        revision=report.facts.revision or model.revision,
        fingerprint=artifact.fingerprint,
        artifact_bytes=artifact.bytes,
        artifact_quantization=artifact.quantization,
        artifact_options=options,
        # A checkpoint that was quantised already stays what it is.
        quantization=artifact.quantization,
        quantization_options=options,
        artifact_dtype=artifact.dtype,
        fidelity=report.fidelity or _known_fidelity(model, artifact.fingerprint),
        measured_bytes=model.measured_bytes if model.fingerprint == artifact.fingerprint else None,
        hook_points=model.hook_points if model.fingerprint == artifact.fingerprint else None,
        phase=ModelPhase.PLACING,
        stage=LoadStage.PLACING,
        figures=None,
        progressed_at=None,
        progress=max(model.progress, PLACING_FROM),
        told_progress=max(model.progress, PLACING_FROM),
        told_at=now,
        heard_at=now,
        updated_at=now,
    )
    on_disk = events.ModelPrepared(
        model_id=model.id,
        status=ModelStatus.LOADING,
        task_id=report.task_id,
        fingerprint=artifact.fingerprint,
        bytes=artifact.bytes,
        timestamp=now,
    )
    told = events.ModelLoadProgress(
        model_id=model.id,
        status=ModelStatus.LOADING,
        task_id=report.task_id,
        stage=LoadStage.PLACING,
        progress=placing.progress,
        message="The artifact is on disk",
        timestamp=now,
    )
    return placing, (
        Outgoing(subjects.MODEL_PREPARED, on_disk, model.id),
        Outgoing(subjects.MODEL_LOAD_PROGRESS, told, model.id),
        *order(placing),
    )


def _known_fidelity(model: ModelState, fingerprint: str) -> Fidelity | None:
    return model.fidelity if model.fingerprint == fingerprint else None


def placed(model: ModelState, report: reports.ModelPlacedReport, now: datetime) -> Step:
    """The model is in device memory. Placing a ready model again is no news."""
    if model.phase is not ModelPhase.PLACING or model.task_id != report.task_id:
        return model, ()
    resident = replace(
        model,
        phase=ModelPhase.IDLE,
        device_id=report.device_id,
        placed_task_id=report.task_id,
        memory_usage_bytes=report.memory_usage_bytes,
        measured_bytes=report.memory_usage_bytes,
        hook_points=report.hook_points or model.hook_points,
        heard_at=now,
        updated_at=now,
    )
    if model.status is ModelStatus.READY:
        return resident, ()
    seconds = (now - (model.load_started_at or now)).total_seconds()
    ready = replace(
        resident,
        status=ModelStatus.READY,
        stage=None,
        progress=100.0,
        load_time_seconds=max(seconds, report.seconds),
        loaded_at=now,
        last_used_at=now,
    )
    event = events.ModelReady(
        model_id=model.id,
        status=ModelStatus.READY,
        task_id=report.task_id,
        memory_usage_bytes=report.memory_usage_bytes,
        load_time_seconds=ready.load_time_seconds or 0.0,
        timestamp=now,
    )
    return ready, (Outgoing(subjects.MODEL_READY, event, model.id),)


def failed(model: ModelState, task_id: str, error: ErrorBody, now: datetime) -> Step:
    """A load, or placing again, ended in an error."""
    under_way = model.phase in (ModelPhase.PREPARING, ModelPhase.PLACING)
    if not under_way or model.task_id != task_id:
        return model, ()
    over = replace(
        model,
        status=ModelStatus.FAILED,
        phase=ModelPhase.IDLE,
        stage=None,
        device_id=None,
        memory_usage_bytes=None,
        error=error,
        updated_at=now,
    )
    event = events.ModelFailed(
        model_id=model.id, status=ModelStatus.FAILED, task_id=task_id, error=error, timestamp=now
    )
    return over, (Outgoing(subjects.MODEL_FAILED, event, model.id),)
