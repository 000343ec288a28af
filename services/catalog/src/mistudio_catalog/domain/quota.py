"""Which caches leave so that what will be written stays within the quota, or why it cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mistudio_contracts.errors import InsufficientStorage


@dataclass(frozen=True)
class View:
    """A cache as the quota sees it; ``busy`` while an extraction needs its store."""

    cache_id: str
    store_key: str
    hook_points: tuple[str, ...]
    busy: bool


@dataclass(frozen=True)
class Stored:
    """What the stores hold: bytes of each column, and of each store's tokens."""

    columns: Mapping[tuple[str, str], int]
    tokens: Mapping[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.columns.values()) + sum(self.tokens.values())


def to_evict(excess: int, views: Sequence[View], stored: Stored) -> tuple[list[str], int]:
    """Return the caches whose leaving frees ``excess`` bytes, and what they free; or all there are.

    A column is freed with the last cache that shows it, and the tokens with a store's last cache.

    Parameters
    ----------
    excess
        Bytes that must leave.
    views
        Every cache, the one that nobody has used for longest first; busy ones stay.
    stored
        What the stores hold.
    """
    showing = Counter((each.store_key, name) for each in views for name in each.hook_points)
    on_store = Counter(each.store_key for each in views)
    chosen: list[str] = []
    freed = 0
    for view in views:
        if freed >= excess:
            break
        if view.busy:
            continue
        chosen.append(view.cache_id)
        for name in view.hook_points:
            showing[view.store_key, name] -= 1
            if not showing[view.store_key, name]:
                freed += stored.columns.get((view.store_key, name), 0)
        on_store[view.store_key] -= 1
        if not on_store[view.store_key]:
            freed += stored.tokens.get(view.store_key, 0)
    return chosen, freed


def over_quota(needed: int, limit: int, **beside: Any) -> InsufficientStorage:
    """Return the refusal, with its figures in bytes."""
    return InsufficientStorage(
        "The quota of the activation store would not hold this extraction.",
        reason="over_quota",
        required_bytes=needed,
        limit_bytes=limit,
        **beside,
        remedy="Take fewer samples, fewer hook points or a smaller dtype, wait for other "
        "extractions to end, or raise ACTIVATION_CACHE_LIMIT_GB.",
    )
