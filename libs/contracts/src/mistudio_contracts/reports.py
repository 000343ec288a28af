"""Reports: what workers tell the catalog. The catalog alone turns them into public events."""

from __future__ import annotations

from itertools import accumulate

from pydantic import Field

from .base import Fingerprint, Identifier, Message, Percent, Pool, UtcDatetime, Value, utcnow
from .states import LoadStage, Quantization
from .values import (
    Artifact,
    ColumnFile,
    ColumnPlan,
    ColumnSummary,
    DatasetFacts,
    Failure,
    Fidelity,
    HookPointFacts,
    ModelFacts,
    PlanCursor,
    QuantizationOptions,
    ResidentModel,
    ShardCut,
    ShardPlan,
    Skipped,
)


class Report(Message):
    task_id: Identifier


class LoadProgressedReport(Report):
    """Live only, on core NATS: ``progress`` is of the whole load, 0–100.

    A load is stalled when neither stage, progress nor bytes grow, unless it is ``waiting``.
    """

    model_id: Identifier
    stage: LoadStage
    progress: Percent
    message: str = ""
    bytes_done: int | None = Field(default=None, ge=0)
    bytes_total: int | None = Field(default=None, ge=0)
    bytes_per_second: float | None = Field(default=None, ge=0)
    seconds_left: float | None = Field(
        default=None, ge=0, description="Of this stage, at the speed of the last seconds."
    )
    retry: int = Field(
        default=0, ge=0, description="Which retry comes next, once an attempt failed for a while."
    )
    waiting: bool = Field(
        default=False, description="It waits for others, for room say; that is no stall."
    )


class ModelPreparedReport(Report):
    model_id: Identifier
    facts: ModelFacts
    artifact: Artifact
    quantization_options: QuantizationOptions | None = Field(
        default=None, description="Of a checkpoint that was quantised already; else null."
    )
    fidelity: Fidelity | None = None
    seconds: float = Field(ge=0)


class ModelPlacedReport(Report):
    model_id: Identifier
    device_id: Identifier
    memory_usage_bytes: int = Field(ge=0, description="Measured on the device, not estimated.")
    hook_points: HookPointFacts | None = None
    seconds: float = Field(ge=0)


class ModelEvictedReport(Report):
    """A resident model left the device; ``reason`` is ``requested``, ``lru``,
    ``keep_alive`` or ``shutdown``."""

    model_id: Identifier
    device_id: Identifier
    reason: str
    freed_bytes: int = Field(ge=0)


class ModelWorkFailedReport(Report):
    model_id: Identifier
    failure: Failure


class DatasetIngestedReport(Report):
    dataset_id: Identifier
    facts: DatasetFacts


class DatasetFailedReport(Report):
    dataset_id: Identifier
    failure: Failure


class ExtractionPlannedReport(Report):
    """A part of a plan: how samples are cut, and what of each column is in the store already.

    ``samples``, ``tokens`` and ``skipped`` are of all that was considered up to the part's end. The
    shards are told by counts, so that thousands of them are one message still.
    """

    extraction_id: Identifier
    samples: int = Field(ge=1)
    tokens: int = Field(ge=1)
    skipped: Skipped = Skipped()
    cuts: list[ShardCut] = Field(description="Every shard of this part, in order.")
    columns: list[ColumnPlan]
    first: int = Field(default=0, ge=0, description="The index of the first of ``cuts``.")
    first_sample: int = Field(default=0, ge=0, description="How many samples lie before it.")
    next: PlanCursor | None = Field(
        default=None, description="Where the next part begins; null with the last."
    )
    room_bytes: int | None = Field(
        default=None, ge=0, description="What the stores' disk takes now, beside its reserve."
    )

    @property
    def shards(self) -> list[ShardPlan]:
        """Every shard of the part; one with no hook points to compute is in the store."""
        starts = accumulate((cut.samples for cut in self.cuts), initial=self.first_sample)
        return [
            ShardPlan(
                index=index,
                sample_start=start,
                samples=cut.samples,
                tokens=cut.tokens,
                hook_points=[c.hook_point for c in self.columns if index >= c.shards_there],
            )
            for index, (cut, start) in enumerate(
                zip(self.cuts, starts, strict=False), start=self.first
            )
        ]


class ShardProgressedReport(Report):
    """Live only, on core NATS."""

    extraction_id: Identifier
    shard_index: int = Field(ge=0)
    samples_done: int = Field(ge=0)


class ShardCapturedReport(Report):
    extraction_id: Identifier
    shard_index: int = Field(ge=0)
    device_id: Identifier
    files: list[ColumnFile]
    tokens: int = Field(ge=1)
    seconds: float = Field(ge=0, description="Of capturing and writing, the model being there.")


class ExtractionCommittedReport(Report):
    """``columns`` are all columns of the store now; ``storage_path`` is where it lies."""

    extraction_id: Identifier
    storage_path: str
    columns: list[ColumnSummary]
    token_bytes: int = Field(ge=0)


class ExtractionWorkFailedReport(Report):
    extraction_id: Identifier
    failure: Failure


class StoreEvictedReport(Report):
    store_key: str
    freed_bytes: int = Field(ge=0)
    columns_left: int = Field(ge=0)


class DeviceReport(Message):
    """An extractor's heartbeat, answered with :class:`~.rpc.DeviceOrders`."""

    device_id: Identifier
    pool: Pool
    kind: str = Field(description="cpu, cuda or tegra")
    name: str
    started_at: UtcDatetime
    memory_total_bytes: int = Field(ge=0)
    memory_budget_bytes: int = Field(ge=0)
    memory_used_bytes: int = Field(ge=0)
    memory_free_bytes: int | None = Field(
        default=None, ge=0, description="What the device has left, whoever uses the rest."
    )
    unavailable_formats: dict[Quantization, str] = Field(
        default_factory=dict, description="Formats whose kernels do not run here, and why."
    )
    residents: list[ResidentModel] = Field(default_factory=list)
    store_bytes: int = Field(default=0, ge=0)
    store_free_bytes: int = Field(default=0, ge=0)
    reported_at: UtcDatetime = Field(default_factory=utcnow)


DISK_REPORT_MOST = 500
"""Artifacts, and as many datasets, that one :class:`DiskReport` tells of."""


class OnDisk(Value):
    """Files that are complete on a pool's disk; ``written_at`` is the time of their manifest."""

    fingerprint: Fingerprint
    written_at: UtcDatetime


class DiskReport(Message):
    """What lies on a pool's disk, complete, or a part of that; answered with :class:`~.rpc.Done`.

    What nobody refers to is ordered to be removed: its own report, or the order, was lost.
    """

    pool: Pool
    artifacts: list[OnDisk] = Field(default_factory=list, max_length=DISK_REPORT_MOST)
    datasets: list[OnDisk] = Field(default_factory=list, max_length=DISK_REPORT_MOST)
