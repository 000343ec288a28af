"""Resources as the REST API and the request/reply subjects show them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .base import Identifier, Percent, UtcDatetime, Value
from .errors import ErrorBody
from .states import (
    DatasetFormat,
    DatasetSource,
    DatasetStatus,
    Dtype,
    ExtractionStatus,
    LoadStage,
    ModelStatus,
    Quantization,
    Source,
)
from .values import ColumnSummary, Skipped, Tokenization


class ModelSummary(Value):
    """A model as lists show it: everything but the config."""

    id: Identifier
    name: str
    model_type: str | None = None
    architecture: str | None = None
    source: Source
    model_identifier: str
    revision: str | None = None
    quantization: Quantization
    status: ModelStatus
    stage: LoadStage | None = None
    progress: Percent = 0
    parameter_count: int | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    vocab_size: int | None = None
    context_length: int | None = None
    memory_usage_bytes: int | None = Field(default=None, description="On the device, measured.")
    disk_bytes: int | None = Field(default=None, description="Of the prepared artifact.")
    load_time_seconds: float | None = None
    dtype: Dtype | None = None
    fingerprint: str | None = None
    task_id: str | None = Field(default=None, description="The load under way, or the last one.")
    error: ErrorBody | None = None
    created_at: UtcDatetime
    loaded_at: UtcDatetime | None = None
    last_used_at: UtcDatetime | None = None
    updated_at: UtcDatetime


class Model(ModelSummary):
    """A model with its complete ``config.json``."""

    config: dict[str, Any] = Field(default_factory=dict)


class Dataset(Value):
    id: Identifier
    name: str
    source: DatasetSource
    identifier: str
    format: DatasetFormat | None = None
    status: DatasetStatus
    fingerprint: str | None = None
    sample_count: int | None = None
    file_size_bytes: int | None = None
    columns: dict[str, str] = Field(
        default_factory=dict, description="Column name → text, tokens or other."
    )
    text_column: str | None = None
    preview: list[dict[str, Any]] = Field(default_factory=list)
    error: ErrorBody | None = None
    created_at: UtcDatetime
    updated_at: UtcDatetime


class Extraction(Value):
    extraction_id: Identifier
    model_id: Identifier
    dataset_id: Identifier
    status: ExtractionStatus
    progress: Percent = 0
    layer_indices: list[int]
    hook_points: list[str]
    dtype: Dtype
    tokenization: Tokenization
    samples_processed: int = 0
    total_samples: int | None = None
    total_tokens: int | None = None
    skipped: Skipped = Skipped()
    cached: bool = Field(default=False, description="Answered wholly from the cache.")
    cache_id: str | None = None
    storage_path: str | None = None
    file_size_bytes: int | None = None
    activation_shape: list[int] | None = Field(
        default=None, description="[tokens, width] of each column."
    )
    extraction_time_seconds: float | None = None
    error: ErrorBody | None = None
    created_at: UtcDatetime
    started_at: UtcDatetime | None = None
    completed_at: UtcDatetime | None = None
    updated_at: UtcDatetime


class Cache(Value):
    """An activation cache: a view over the columns of one store, as one extraction asked for it."""

    id: Identifier
    model_id: Identifier
    dataset_id: str | None = None
    extraction_id: str | None = None
    store_key: str
    storage_path: str
    dtype: Dtype
    tokenization: Tokenization
    sample_count: int
    token_count: int
    layer_indices: list[int]
    hook_points: list[str]
    activation_shape: list[int]
    file_size_bytes: int
    extraction_time_seconds: float | None = None
    columns: list[ColumnSummary] = Field(default_factory=list)
    created_at: UtcDatetime
    last_accessed_at: UtcDatetime


class Device(Value):
    id: Identifier
    pool: str
    kind: str
    name: str
    online: bool
    memory_total_bytes: int
    memory_budget_bytes: int
    memory_used_bytes: int
    resident_models: list[str]
    store_bytes: int
    store_free_bytes: int
    started_at: UtcDatetime
    last_seen_at: UtcDatetime


class LoadAccepted(Value):
    id: Identifier
    status: ModelStatus
    task_id: Identifier
    message: str


class ExtractionAccepted(Value):
    """The answer to an extraction request; a cached one is ``completed`` at once."""

    extraction_id: Identifier
    status: ExtractionStatus
    estimated_time_seconds: float | None = None
    cached: bool = False
    cache_id: str | None = None
    message: str


class ModelPage(Value):
    models: list[ModelSummary]
    total: int
    limit: int
    offset: int


class DatasetPage(Value):
    datasets: list[Dataset]
    total: int
    limit: int
    offset: int


class ExtractionPage(Value):
    extractions: list[Extraction]
    total: int
    limit: int
    offset: int


class CachePage(Value):
    activations: list[Cache]
    total: int
    limit: int
    offset: int


class DevicePage(Value):
    devices: list[Device]
    total: int


class StoreFile(Value):
    """A file of a store, for download. ``path`` is relative to the store."""

    path: str
    bytes: int


class StoreFiles(Value):
    store_key: str
    files: list[StoreFile]
