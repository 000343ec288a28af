"""Resources as the REST API and the request/reply subjects show them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .base import Identifier, Percent, UtcDatetime, Value
from .errors import ErrorBody
from .states import (
    CacheStatus,
    Damage,
    DatasetFormat,
    DatasetSource,
    DatasetStatus,
    Door,
    Dtype,
    ExtractionStatus,
    Fit,
    LoadStage,
    ModelStatus,
    Quantization,
    Scope,
    Source,
)
from .values import ColumnSummary, Fidelity, FloatDtype, QuantizationOptions, Skipped, Tokenization


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
    quantization_options: QuantizationOptions = QuantizationOptions()
    pinned: bool = False
    keep_alive_seconds: float | None = None
    offload: bool = False
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
    dtype: FloatDtype | None = None
    fingerprint: str | None = None
    task_id: str | None = Field(default=None, description="The load under way, or the last one.")
    error: ErrorBody | None = None
    created_at: UtcDatetime
    loaded_at: UtcDatetime | None = None
    last_used_at: UtcDatetime | None = None
    updated_at: UtcDatetime


class Model(ModelSummary):
    """A model with its complete ``config.json`` and what quantising changed."""

    config: dict[str, Any] = Field(default_factory=dict)
    fidelity: Fidelity | None = None


class HookPointShape(Value):
    """A hook point: its rows are ``[tokens, width]``."""

    hook_point: str
    layer: int | None = Field(default=None, description="Null outside the blocks.")
    kind: str
    width: int
    heads: int | None = Field(
        default=None, description="Where rows are of heads: so many, each width / heads wide."
    )


class HookPointList(Value):
    """The hook points of a model, in the order of a forward pass."""

    model_id: Identifier
    num_layers: int
    hook_points: list[HookPointShape]
    refused: dict[str, str] = Field(
        default_factory=dict, description="Kinds that this model lacks, and why."
    )


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
        default=None, description="[tokens, width] of each column; null where widths differ."
    )
    extraction_time_seconds: float | None = None
    seconds_left: float | None = Field(
        default=None,
        ge=0,
        description="At the pace so far; null until there is one, and after the end.",
    )
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
    status: CacheStatus = CacheStatus.READY
    store_key: str
    storage_path: str
    dtype: Dtype
    tokenization: Tokenization
    rows_considered: int | None = Field(
        default=None, description="How many of the dataset's rows it covers, from the first on."
    )
    sample_count: int
    token_count: int
    layer_indices: list[int]
    hook_points: list[str]
    activation_shape: list[int] | None = Field(
        default=None, description="[tokens, width] of each column; null where widths differ."
    )
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
    memory_free_bytes: int | None = None
    unavailable_formats: dict[Quantization, str] = Field(default_factory=dict)
    resident_models: list[str]
    store_bytes: int
    store_free_bytes: int
    started_at: UtcDatetime
    last_seen_at: UtcDatetime


class MemoryParts(Value):
    """What a model's bytes on a device are made of."""

    weights_bytes: int = Field(ge=0, description="Without the language-model head.")
    quantization_state_bytes: int = Field(ge=0, description="Scales and code books.")
    activations_bytes: int = Field(ge=0, description="Of the batch below, one block alive.")
    captured_bytes: int = Field(ge=0, description="Captured columns on their way out.")
    workspace_bytes: int = Field(ge=0, description="Kernels' scratch, a weight dequantised.")
    slack_bytes: int = Field(ge=0, description="What the allocator rounds up and keeps.")


class OffloadEstimate(Value):
    """What running with some blocks on the disk would take."""

    blocks: int = Field(ge=1, description="How many of the blocks do not stay in memory.")
    total_bytes: int = Field(ge=0)
    read_bytes_per_batch: int = Field(ge=0)
    cost: str = Field(description="A sentence for people.")


class FormatEstimate(Value):
    """Whether a model fits a device in one format. It errs high: bytes are at most these."""

    quantization: Quantization
    total_bytes: int = Field(ge=0)
    parts: MemoryParts
    fit: Fit
    evict: list[Identifier] = Field(
        default_factory=list, description="Models that would leave, the least recently used first."
    )
    held_by: list[Identifier] = Field(
        default_factory=list, description="Models that must leave too, but are pinned or in use."
    )
    batch_size: int = Field(
        ge=0,
        description="The largest batch of ``sequence_length`` that runs beside it; larger ones "
        "would not be faster. 0 where none fits; the bytes are then of the shortest sample.",
    )
    sequence_length: int = Field(ge=0)
    download_bytes: int | None = Field(default=None, ge=0)
    disk_bytes: int = Field(ge=0, description="Of the prepared artifact.")
    unavailable: str | None = Field(
        default=None, description="Why the format cannot be used here; null where it can."
    )
    offload: OffloadEstimate | None = None


class Estimate(Value):
    """Will it fit, in each format, and which to choose.

    ``device_id`` null means that no device is known; the budget is then the default one.
    ``recommended`` null means that no format fits.
    """

    model_id: str | None = None
    model_identifier: str
    model_type: str | None = Field(default=None, description="The family that was detected.")
    num_layers: int | None = None
    parameter_count: int | None = None
    device_id: str | None = None
    budget_bytes: int
    used_bytes: int
    free_bytes: int | None = None
    formats: list[FormatEstimate]
    recommended: Quantization | None = None
    message: str = Field(description="A sentence for people: what to choose, and why.")


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
    estimated_bytes: int | None = Field(
        default=None, ge=0, description="Of rows to be written; what is cached costs nothing."
    )
    estimate_unknown: str | None = Field(
        default=None, description="Why time or bytes are not told."
    )
    cached: bool = False
    cache_id: str | None = None
    message: str


class ExtractionEstimate(Value):
    """What an extraction would take. What is cached costs nothing; null is not known.

    Without the wait for other extractions, and for the model where it is not in memory.
    """

    estimated_time_seconds: float | None = Field(default=None, ge=0)
    estimated_bytes: int | None = Field(default=None, ge=0, description="Of rows to be written.")
    available_bytes: int | None = Field(
        default=None, ge=0, description="What the disk of the stores has left."
    )
    total_tokens: int | None = Field(default=None, ge=0, description="Of the samples asked for.")
    rows_sampled: int = Field(
        default=0, ge=0, description="Rows whose tokens were counted for this; 0 where all are."
    )
    cached: bool = Field(default=False, description="Nothing would be computed.")
    unknown: str | None = Field(default=None, description="Why time or bytes are not told.")


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


class DamagedFile(Value):
    """A file of a store that is not what was written. ``path`` is relative to the store."""

    path: str
    reason: Damage


class StoreVerification(Value):
    """What reading files of a store and comparing them with their checksums has found."""

    verified_files: int = Field(description="Compared by this answer, the damaged ones included.")
    verified_bytes: int
    total_files: int = Field(description="Of the whole cache.")
    total_bytes: int
    next: str | None = Field(
        default=None, description="Ask again with this as `after` for the rest; null at the end."
    )
    damaged: list[DamagedFile] = Field(default_factory=list)
    remedy: str | None = Field(default=None, description="Where a file is damaged.")


class WhoAmI(Value):
    """Whose token this is, and what it allows; scopes that others imply are among them."""

    subject: str
    scopes: list[Scope]
    expires_at: UtcDatetime
    version: str = Field(description="Of the contract that the gateway speaks.")


class DownloadLink(Value):
    """Where a cache can be downloaded without a header, once its time has not passed."""

    url: str = Field(description="A path of this gateway.")
    file_name: str
    bytes: int = Field(ge=0, description="Of the archive.")
    expires_at: UtcDatetime


class AuditEntry(Value):
    """Who did what, to what, when, by which door, and what became of it.

    ``outcome`` is ``done``, or the code of the error that it was refused with.
    """

    id: int
    at: UtcDatetime
    actor: str = Field(description="The token's subject, or who a command says asks for it.")
    action: str
    object_id: str | None = Field(default=None, description="Null where it was never made.")
    door: Door
    outcome: str
    trace_id: str | None = None


MOST_COUNTED = 100_000
"""Entries of the audit log beyond it are not counted: that would read all of it for each page."""


class AuditPage(Value):
    """The newest first."""

    entries: list[AuditEntry]
    total: int = Field(description=f"How many there are; {MOST_COUNTED} stands for more too.")
    limit: int
    offset: int


class DeadLetter(Value):
    """A message that could not be handled. ``sequence`` is its place among them."""

    sequence: int
    subject: str = Field(description="Where it was published, and would be again.")
    message_id: str
    code: str
    reason: str
    attempts: int | None = None
    died_at: UtcDatetime | None = None
    bytes: int = Field(ge=0, description="Of its payload.")


class DeadLetterDetail(DeadLetter):
    """A dead letter with its error, and as much of its payload as can be shown."""

    error: ErrorBody | None = None
    payload: str = Field(description="As text, its beginning where it is long.")


class DeadLetterPage(Value):
    """The oldest first."""

    dead_letters: list[DeadLetter]
    total: int
    next: int | None = Field(
        default=None, description="Ask again with this as `after` for more; null at the end."
    )


class Replayed(Value):
    """A dead letter is back where it came from; ``sequence`` is its new place there."""

    sequence: int
