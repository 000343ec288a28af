"""Events: facts, published by the catalog after the transaction that made them true."""

from __future__ import annotations

from pydantic import Field

from .base import Identifier, Message, Percent, UtcDatetime, utcnow
from .errors import ErrorBody
from .states import (
    CacheStatus,
    DatasetStatus,
    ExtractionStatus,
    LoadStage,
    ModelStatus,
    Quantization,
)


class Event(Message):
    timestamp: UtcDatetime = Field(default_factory=utcnow)


class ModelEvent(Event):
    model_id: Identifier
    status: ModelStatus


class ModelRegistered(ModelEvent):
    name: str


class ModelLoading(ModelEvent):
    """A load was accepted."""

    task_id: Identifier
    quantization: Quantization
    progress: Percent = 0
    message: str = ""


class ModelLoadProgress(ModelEvent):
    """Live, on the PROGRESS stream; ``progress`` never goes back within a task."""

    task_id: Identifier
    stage: LoadStage
    progress: Percent
    message: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: float | None = None
    seconds_left: float | None = Field(
        default=None, description="Of this stage, at the speed of the last seconds."
    )
    retry: int = Field(
        default=0, ge=0, description="Which retry comes next; the message says when, and why."
    )


class ModelPrepared(ModelEvent):
    task_id: Identifier
    fingerprint: str
    bytes: int


class ModelReady(ModelEvent):
    task_id: Identifier
    memory_usage_bytes: int
    load_time_seconds: float


class ModelUnloaded(ModelEvent):
    """``reason`` is ``requested``, ``lru``, ``keep_alive``, ``cancelled`` or ``device_lost``."""

    reason: str
    freed_bytes: int = 0


class ModelFailed(ModelEvent):
    task_id: Identifier
    error: ErrorBody


class ModelDeleted(Event):
    model_id: Identifier


class DatasetEvent(Event):
    dataset_id: Identifier
    status: DatasetStatus


class DatasetRegistered(DatasetEvent):
    name: str


class DatasetReady(DatasetEvent):
    sample_count: int
    fingerprint: str


class DatasetFailed(DatasetEvent):
    error: ErrorBody


class DatasetDeleted(Event):
    dataset_id: Identifier


class ExtractionEvent(Event):
    extraction_id: Identifier
    model_id: Identifier
    status: ExtractionStatus


class ExtractionQueued(ExtractionEvent):
    dataset_id: Identifier
    hook_points: list[str]


class ExtractionProgress(ExtractionEvent):
    """Live, on the PROGRESS stream; ``total_samples`` is 0 until the samples are counted."""

    progress: Percent
    samples_processed: int = Field(ge=0)
    total_samples: int = Field(ge=0)
    seconds_left: float | None = Field(
        default=None, ge=0, description="At the pace so far; null until there is one."
    )


class ExtractionShardCompleted(ExtractionEvent):
    shard_index: int
    shards_completed: int
    shards_total: int


class ExtractionCompleted(ExtractionEvent):
    cache_id: Identifier
    cached: bool
    storage_path: str
    file_size_bytes: int
    total_samples: int
    total_tokens: int
    extraction_time_seconds: float


class ExtractionFailed(ExtractionEvent):
    error: ErrorBody


class ExtractionCancelled(ExtractionEvent):
    pass


class CacheEvicted(Event):
    cache_id: Identifier
    freed_bytes: int


class CacheChecked(Event):
    """An extractor has looked, after a restore, whether the files of a cache lie there."""

    cache_id: Identifier
    status: CacheStatus


class DeviceStatus(Event):
    device_id: Identifier
    pool: str
    name: str
    kind: str
    online: bool
    memory_total_bytes: int
    memory_budget_bytes: int
    memory_used_bytes: int
    memory_free_bytes: int | None = None
    unavailable_formats: dict[Quantization, str] = Field(default_factory=dict)
    resident_models: list[str]


class CommandRefused(Event):
    """The answer to a command from the bus that could not be accepted."""

    command_id: str
    command: str = Field(description="The command's subject.")
    error: ErrorBody
    model_id: str | None = None
    extraction_id: str | None = None
