"""A model as the catalog keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from mistudio_contracts.errors import ErrorBody
from mistudio_contracts.states import Dtype, LoadStage, ModelStatus, Quantization, Source
from mistudio_contracts.values import (
    Artifact,
    Fidelity,
    HookPointFacts,
    ModelFacts,
    QuantizationOptions,
    ResidencyWish,
)

_CAST: dict[Quantization, Dtype] = {
    Quantization.FP16: Dtype.FLOAT16,
    Quantization.BF16: Dtype.BFLOAT16,
}


class ModelPhase(str, Enum):
    """What the catalog is waiting for; finer than the public status.

    ``waiting`` for a load slot, ``preparing`` by a loader, ``placing`` by an extractor (also of a
    ready model that a restarted device lost), ``releasing`` by the device that holds it.
    """

    IDLE = "idle"
    WAITING = "waiting"
    PREPARING = "preparing"
    PLACING = "placing"
    RELEASING = "releasing"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Figures:
    """What the worker of a load said last; it has moved when one of these has grown."""

    stage: LoadStage
    progress: float
    bytes_done: int | None = None


@dataclass(frozen=True)
class ModelState:
    """One row of ``models``.

    ``task_id`` is the attempt under way or the last; ``placed_task_id`` the one whose placing put
    it where it is. ``artifact_*`` describe the files on disk, which may be of an earlier
    ``quantization`` than the one asked for now. ``force`` is the wish of the last load, also for
    placing it again. ``heard_at`` is when anybody spoke of the task under way, ``progressed_at``
    when its worker last got on. ``memory_usage_bytes`` is null while it is not in memory;
    ``measured_bytes`` remembers what the files took when they last were, ``hook_points`` what was
    proven of them then. ``overflows_float16`` once an extraction in float16 held values that left
    its range. ``traceparent`` names the span that asked for the last load. Sizes in bytes.
    """

    id: str
    pool: str
    name: str
    source: Source
    model_identifier: str
    quantization: Quantization
    created_at: datetime
    updated_at: datetime
    revision: str | None = None
    status: ModelStatus = ModelStatus.PENDING
    phase: ModelPhase = ModelPhase.IDLE
    stage: LoadStage | None = None
    progress: float = 0.0
    told_progress: float = 0.0
    told_at: datetime | None = None
    task_id: str | None = None
    placed_task_id: str | None = None
    device_id: str | None = None
    model_type: str | None = None
    architecture: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    parameter_count: int | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    vocab_size: int | None = None
    context_length: int | None = None
    checkpoint_dtype: Dtype | None = None
    weight_bytes: int | None = None
    fingerprint: str | None = None
    artifact_bytes: int | None = None
    artifact_quantization: Quantization | None = None
    artifact_dtype: Dtype | None = None
    memory_usage_bytes: int | None = None
    load_time_seconds: float | None = None
    error: ErrorBody | None = None
    load_requested_at: datetime | None = None
    load_started_at: datetime | None = None
    loaded_at: datetime | None = None
    last_used_at: datetime | None = None
    heard_at: datetime | None = None
    quantization_options: QuantizationOptions = field(default_factory=QuantizationOptions)
    artifact_options: QuantizationOptions | None = None
    pinned: bool = False
    keep_alive_seconds: float | None = None
    offload: bool = False
    fidelity: Fidelity | None = None
    hook_points: HookPointFacts | None = None
    force: bool = False
    figures: Figures | None = None
    progressed_at: datetime | None = None
    measured_bytes: int | None = None
    overflows_float16: bool = False
    traceparent: str | None = None

    @property
    def artifact(self) -> Artifact | None:
        """The files on disk, when they are of the format asked for now."""
        if (
            self.fingerprint is None
            or self.artifact_dtype is None
            or self.artifact_quantization is None
            or not self.is_of(self.artifact_quantization, self.artifact_options)
        ):
            return None
        return Artifact(
            fingerprint=self.fingerprint,
            quantization=self.artifact_quantization,
            dtype=self.artifact_dtype,
            bytes=self.artifact_bytes or 0,
        )

    @property
    def dtype(self) -> Dtype | None:
        """The dtype of the residual stream, once known or settled by the quantization."""
        artifact = self.artifact
        if artifact is not None:
            return artifact.dtype
        if self.quantization in (Quantization.INT8, Quantization.INT4):
            return None
        return _CAST.get(self.quantization, self.checkpoint_dtype)

    @property
    def wish(self) -> ResidencyWish:
        """How the model is to be kept in device memory."""
        return ResidencyWish(
            pinned=self.pinned, keep_alive_seconds=self.keep_alive_seconds, offload=self.offload
        )

    def is_of(self, quantization: Quantization | None, options: QuantizationOptions | None) -> bool:
        """Return whether this format is the one asked for now; null means the same.

        Options tell two formats apart only where both are int4.
        """
        if quantization not in (None, self.quantization):
            return False
        if self.quantization is not Quantization.INT4:
            return True
        return options in (None, self.quantization_options)

    @property
    def resting(self) -> ModelStatus:
        """Where a load that is called off leaves the model."""
        return ModelStatus.PENDING if self.fingerprint is None else ModelStatus.UNLOADED


def described(facts: ModelFacts) -> dict[str, Any]:
    """Return the fields of :class:`ModelState` that a checkpoint's facts decide."""
    return {
        "model_type": facts.model_type,
        "architecture": facts.architecture,
        "config": facts.config,
        "parameter_count": facts.parameter_count,
        "hidden_size": facts.hidden_size,
        "num_layers": facts.num_layers,
        "vocab_size": facts.vocab_size,
        "context_length": facts.context_length,
        "checkpoint_dtype": facts.dtype,
        "weight_bytes": facts.weight_bytes,
    }
