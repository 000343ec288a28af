"""Stores, their columns, and the caches that are views over them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mistudio_contracts import subjects, work
from mistudio_contracts.states import CacheStatus, Dtype
from mistudio_contracts.values import ColumnSummary, Tokenization

from .outgoing import Effects, Outgoing


@dataclass(frozen=True)
class Column:
    """A committed column; ``rows_considered`` is how much of its dataset it covers."""

    hook_point: str
    rows_considered: int
    bytes: int
    width: int
    summary: ColumnSummary


@dataclass(frozen=True)
class Store:
    """An activation store; ``token_bytes`` are those of its token shards.

    It is not ``checked`` from a restore until an extractor has looked which columns lie there.
    """

    store_key: str
    pool: str
    storage_path: str
    token_bytes: int
    checked: bool = True


@dataclass(frozen=True)
class CacheState:
    """One row of ``activation_caches``, with where its store lies.

    ``width`` is of every column, None where they differ. ``complete`` while the store has every
    column for the rows that the cache shows; ``checked`` once an extractor has seen that it does.
    """

    id: str
    model_id: str
    dataset_id: str | None
    extraction_id: str | None
    store_key: str
    storage_path: str
    dtype: Dtype
    tokenization: Tokenization
    rows_considered: int
    sample_count: int
    token_count: int
    hook_points: tuple[str, ...]
    width: int | None
    file_size_bytes: int
    extraction_time_seconds: float | None
    created_at: datetime
    last_accessed_at: datetime
    checked: bool = True
    complete: bool = True

    @property
    def status(self) -> CacheStatus:
        """What is known of the files."""
        if not self.checked:
            return CacheStatus.UNCHECKED
        return CacheStatus.READY if self.complete else CacheStatus.MISSING


@dataclass(frozen=True)
class Eviction:
    """Columns, or with None the whole store, that must leave the disk: ``bytes`` at most."""

    task_id: str
    store_key: str
    pool: str
    hook_points: tuple[str, ...] | None
    created_at: datetime
    bytes: int = 0
    ordered_at: datetime | None = None
    times_ordered: int = 0

    def order(self) -> Effects:
        """Return the order to delete the columns."""
        message = work.EvictStore(
            task_id=self.task_id,
            store_key=self.store_key,
            hook_points=None if self.hook_points is None else list(self.hook_points),
            unnamed_before=self.created_at,
        )
        return (Outgoing(subjects.WORK_EVICT_STORE, message, self.store_key, self.pool),)
