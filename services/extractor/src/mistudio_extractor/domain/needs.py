"""Bytes that models take of a device, and what a device may hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GB = 1024**3
"""The unit of ``GPU_MEMORY_LIMIT_GB`` and of every figure shown."""


@dataclass(frozen=True)
class Need:
    """Bytes that a model takes: ``weights`` while it is there, ``working`` while it runs."""

    weights: int
    working: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.working


@dataclass(frozen=True)
class Limits:
    """What a device may hold.

    Parameters
    ----------
    budget
        Bytes that are ours at most.
    models
        Models at once.
    loads
        Models on their way in at once.
    """

    budget: int
    models: int = 3
    loads: int = 2


@dataclass(frozen=True)
class Reading:
    """Bytes as the device tells them.

    Parameters
    ----------
    used
        What this process holds.
    free
        What the device has left, whoever uses the rest.
    """

    used: int
    free: int


def required(needs: Iterable[Need]) -> int:
    """Return the bytes of models together: one of them runs at a time."""
    found = list(needs)
    return sum(n.weights for n in found) + max((n.working for n in found), default=0)


def gigabytes(count: int) -> float:
    """Return bytes as the figure shown."""
    return round(count / GB, 3)
