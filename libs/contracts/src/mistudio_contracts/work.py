"""Work orders: complete instructions from the catalog to a pool's workers."""

from __future__ import annotations

from pydantic import Field

from .base import Fingerprint, Identifier, Message, UtcDatetime
from .hooks import HookPoint
from .states import DatasetFormat, DatasetSource, Dtype, Quantization, Source
from .values import (
    Artifact,
    DatasetRef,
    PlanCursor,
    QuantizationOptions,
    ResidencyWish,
    ShardPlan,
    Skipped,
    Tokenization,
)


class WorkOrder(Message):
    """``task_id`` is the attempt a report answers; a report of another task is out of date."""

    task_id: Identifier


class PrepareModel(WorkOrder):
    model_id: Identifier
    source: Source
    model_identifier: str
    revision: str | None = None
    quantization: Quantization
    quantization_options: QuantizationOptions = QuantizationOptions()


class PlaceModel(WorkOrder):
    """Bring a model into device memory. ``force`` lets it in whatever the estimate says."""

    model_id: Identifier
    artifact: Artifact
    wish: ResidencyWish = ResidencyWish()
    force: bool = False


class RemoveArtifact(WorkOrder):
    """Delete a prepared artifact that no model refers to any more."""

    fingerprint: Fingerprint


class IngestDataset(WorkOrder):
    """Turn an upload, a file under an allowed root or a hub dataset into a canonical dataset."""

    dataset_id: Identifier
    source: DatasetSource
    identifier: str = Field(description="Object name, relative path or hub id, by source.")
    format: DatasetFormat | None = None
    text_column: str | None = None
    split: str = "train"
    subset: str | None = None
    revision: str | None = None


class RemoveDataset(WorkOrder):
    fingerprint: Fingerprint


class PlanExtraction(WorkOrder):
    """Tokenise once and cut the samples into shards of about ``shard_tokens`` tokens.

    A long plan is ordered in parts, each from where the one before ended, so that what is cut is
    captured while the rest waits. Which shards there are does not depend on the parts.
    """

    extraction_id: Identifier
    model_id: Identifier
    artifact: Artifact
    dataset: DatasetRef
    tokenization: Tokenization
    sample_count: int | None = None
    hook_points: list[HookPoint]
    dtype: Dtype
    store_key: Fingerprint
    shard_tokens: int = Field(default=65_536, ge=1)
    begin: PlanCursor | None = Field(
        default=None, description="Where the part before ended; null at the beginning."
    )
    most_shards: int | None = Field(
        default=None, ge=1, description="Shards to cut in this part, at most; null for all."
    )


class CaptureShard(WorkOrder):
    extraction_id: Identifier
    model_id: Identifier
    artifact: Artifact
    wish: ResidencyWish = ResidencyWish()
    dtype: Dtype
    store_key: Fingerprint
    batch_size: int | None = None
    shard: ShardPlan
    tell_every_seconds: float = Field(
        default=0.0, ge=0, description="Live progress of the shard is told no more often."
    )


class CommitExtraction(WorkOrder):
    """Make the captured columns visible: check each file, merge statistics, write the manifest.

    The files are named by column and shard; what was written to them lies beside them in the store.
    """

    extraction_id: Identifier
    model_id: Identifier
    artifact: Artifact
    dataset: DatasetRef
    tokenization: Tokenization
    dtype: Dtype
    store_key: Fingerprint
    hook_points: list[HookPoint]
    samples: int = Field(ge=1)
    tokens: int = Field(ge=1)
    skipped: Skipped = Skipped()
    shards: int = Field(ge=1, description="The store's first so many.")
    rows_considered: int | None = Field(
        default=None,
        ge=1,
        description="Dataset rows that became these samples; null where each became one at most.",
    )


class EvictStore(WorkOrder):
    """Delete columns of a store, or all of it when ``hook_points`` is null.

    What no manifest names and was written before ``unnamed_before`` leaves with them. An order that
    comes twice so takes nothing of an extraction that began meanwhile.
    """

    store_key: Fingerprint
    hook_points: list[HookPoint] | None = None
    unnamed_before: UtcDatetime | None = None
