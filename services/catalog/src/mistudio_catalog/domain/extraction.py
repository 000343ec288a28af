"""An extraction and its shards as the catalog keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from mistudio_contracts.errors import ErrorBody
from mistudio_contracts.states import Dtype, ExtractionStatus
from mistudio_contracts.values import (
    Artifact,
    DatasetRef,
    ShardPlan,
    Skipped,
    Tokenization,
)


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
    """One row of ``extraction_shards``; ``index`` counts within the extraction."""

    index: int
    sample_start: int
    samples: int
    tokens: int
    hook_points: tuple[str, ...]
    status: ShardStatus = ShardStatus.PLANNED
    samples_done: int = 0
    device_id: str | None = None
    seconds: float | None = None

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

    ``rows_considered`` is how many rows of the dataset are taken; ``total_samples`` how many of
    them tokenisation kept. ``samples_captured`` counts whole shards, ``samples_processed`` what
    was told, live parts included. ``paced_at`` is when the first samples were heard of, of which
    there were ``paced_samples`` then: placing the model belongs to no pace.
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
    paced_samples: int = 0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to go at the pace so far; None before there is one, and after the end."""
        if self.phase is not ExtractionPhase.CAPTURING or self.total_samples is None:
            return None
        if self.paced_at is None or self.heard_at is None:
            return None
        done = self.samples_processed - self.paced_samples
        seconds = (self.heard_at - self.paced_at).total_seconds()
        if done <= 0 or seconds <= 0:
            return None
        return (self.total_samples - self.samples_processed) * seconds / done


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


def shards_of(plans: Sequence[ShardPlan]) -> list[ShardState]:
    """Return the shards of a plan; those with nothing to compute count as captured."""
    return [
        ShardState(
            index=plan.index,
            sample_start=plan.sample_start,
            samples=plan.samples,
            tokens=plan.tokens,
            hook_points=tuple(plan.hook_points),
            status=ShardStatus.PLANNED if plan.hook_points else ShardStatus.CAPTURED,
        )
        for plan in plans
    ]
