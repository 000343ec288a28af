"""An extraction and its shards as the catalog keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from mistudio_contracts.errors import ErrorBody
from mistudio_contracts.hooks import depth_of
from mistudio_contracts.states import Dtype, ExtractionStatus
from mistudio_contracts.values import (
    Artifact,
    DatasetRef,
    PlanCursor,
    ShardPlan,
    Skipped,
    Tokenization,
)

LEAST_PACE_SECONDS = 2.0
"""Before, a pace says more of when reports came than of how fast anything is."""


class ExtractionPhase(str, Enum):
    """What the catalog is waiting for; finer than the public status.

    ``waiting`` for its model or its store, ``planning``, ``capturing`` shards, ``committing``,
    and ``done`` for every terminal status.
    """

    WAITING = "waiting"
    PLANNING = "planning"
    CAPTURING = "capturing"
    COMMITTING = "committing"
    DONE = "done"

    def __str__(self) -> str:
        return str(self.value)


class ShardStatus(str, Enum):
    """``ordered`` shards are outstanding at the workers; ``captured`` ones are written."""

    PLANNED = "planned"
    ORDERED = "ordered"
    CAPTURED = "captured"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class ShardState:
    """One row of ``extraction_shards``; ``index`` counts within the extraction.

    ``work`` is what capturing it takes: its tokens, once for each block they go through.
    """

    index: int
    sample_start: int
    samples: int
    tokens: int
    hook_points: tuple[str, ...]
    status: ShardStatus = ShardStatus.PLANNED
    samples_done: int = 0
    device_id: str | None = None
    seconds: float | None = None
    work: int = 0

    @property
    def plan(self) -> ShardPlan:
        return ShardPlan(
            index=self.index,
            sample_start=self.sample_start,
            samples=self.samples,
            tokens=self.tokens,
            hook_points=list(self.hook_points),
        )


@dataclass(frozen=True)
class ExtractionState:
    """One row of ``extractions``.

    ``rows_considered`` is how many rows of the dataset are taken; ``total_samples`` and
    ``total_tokens`` what tokenisation made of those that are planned. ``plan_from`` is where the
    plan goes on, None once it is whole; ``plan_ordered`` says that its next part is at a worker.
    ``samples_captured`` counts whole shards, ``samples_processed`` what was told, live parts
    included; ``work_total``, ``work_captured`` and ``work_processed`` likewise, see
    :attr:`ShardState.work`. ``paced_at`` is when the first samples were heard of, by when
    ``paced_work`` was done: placing the model belongs to no pace. ``reserved_bytes`` are set aside
    of the quota until it is over. ``traceparent`` names the span of its request, to which its
    orders belong whatever made them possible.
    """

    id: str
    pool: str
    model_id: str
    dataset_id: str
    actor: str
    hook_points: tuple[str, ...]
    dtype: Dtype
    tokenization: Tokenization
    rows_considered: int
    created_at: datetime
    updated_at: datetime
    batch_size: int | None = None
    status: ExtractionStatus = ExtractionStatus.QUEUED
    phase: ExtractionPhase = ExtractionPhase.WAITING
    task_id: str | None = None
    artifact: Artifact | None = None
    dataset: DatasetRef | None = None
    store_key: str | None = None
    progress: float = 0.0
    told_progress: float = 0.0
    told_at: datetime | None = None
    samples_processed: int = 0
    samples_captured: int = 0
    total_samples: int | None = None
    total_tokens: int | None = None
    skipped: Skipped = field(default_factory=Skipped)
    shards_total: int = 0
    shards_completed: int = 0
    shards_computed: int = 0
    cached: bool = False
    cache_id: str | None = None
    storage_path: str | None = None
    file_size_bytes: int | None = None
    width: int | None = None
    extraction_time_seconds: float | None = None
    error: ErrorBody | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    heard_at: datetime | None = None
    paced_at: datetime | None = None
    paced_work: int = 0
    work_total: int = 0
    work_captured: int = 0
    work_processed: int = 0
    plan_from: PlanCursor | None = None
    plan_ordered: bool = False
    reserved_bytes: int = 0
    traceparent: str | None = None

    @property
    def planned_share(self) -> float:
        """The part of the dataset's rows whose samples are planned, 0–1."""
        if self.plan_from is None:
            return 1.0
        return min(1.0, self.plan_from.row / self.rows_considered)

    @property
    def all_captured(self) -> bool:
        """Whether every shard there will be is captured."""
        return self.plan_from is None and self.shards_completed >= self.shards_total

    @property
    def counted_samples(self) -> int | None:
        """How many samples there are; None before all are planned."""
        return None if self.plan_from is not None else self.total_samples

    @property
    def counted_tokens(self) -> int | None:
        """How many tokens there are; None before all are planned."""
        return None if self.plan_from is not None else self.total_tokens

    @property
    def seconds_left(self) -> float | None:
        """Seconds to go at the pace so far; None before there is one, and after the end."""
        if self.phase is not ExtractionPhase.CAPTURING or self.planned_share == 0:
            return None
        if self.paced_at is None or self.heard_at is None:
            return None
        done = self.work_processed - self.paced_work
        seconds = (self.heard_at - self.paced_at).total_seconds()
        if done <= 0 or seconds < LEAST_PACE_SECONDS:
            return None
        # What is not planned yet is taken to be like what is.
        left = self.work_total / self.planned_share - self.work_processed
        return max(left, 0.0) * seconds / done


@dataclass(frozen=True)
class Extent:
    """What tokenisation makes of the first ``rows_considered`` rows of a store's dataset."""

    rows_considered: int
    samples: int
    tokens: int
    skipped: Skipped = field(default_factory=Skipped)


@dataclass(frozen=True)
class Holding:
    """What a store holds of an extraction's columns, for answering from the cache.

    ``width`` is of each of them, None where they differ.
    """

    cache_id: str
    storage_path: str
    width: int | None
    bytes: int
    extent: Extent


@dataclass(frozen=True)
class Live:
    """What is done of the shards under way."""

    samples: int = 0
    work: int = 0

    def without(self, shard: ShardState) -> Live:
        """Return what is done of the others."""
        done = shard.work * shard.samples_done // shard.samples
        return Live(self.samples - shard.samples_done, max(0, self.work - done))


def shards_of(plans: Sequence[ShardPlan], num_layers: int | None = None) -> list[ShardState]:
    """Return the shards of a plan; those with nothing to compute count as captured."""
    return [
        ShardState(
            index=plan.index,
            sample_start=plan.sample_start,
            samples=plan.samples,
            tokens=plan.tokens,
            hook_points=tuple(plan.hook_points),
            status=ShardStatus.PLANNED if plan.hook_points else ShardStatus.CAPTURED,
            work=plan.tokens * depth_of(plan.hook_points, num_layers) if plan.hook_points else 0,
        )
        for plan in plans
    ]
