"""The few best of many numbers, which come piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Best:
    """Rows, int64, and their numbers, float64: the best first, and among equals the first row.

    The best are the largest, or the least.
    """

    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    least: bool

    @classmethod
    def none(cls, *, least: bool) -> Best:
        """Return no rows."""
        return cls(np.empty(0), np.empty(0, np.int64), least)

    def with_more(self, values: NDArray[np.float64], start: int, count: int) -> Best:
        """Return the best ``count`` of these and of rows from ``start`` on, the finite ones."""
        finite = np.flatnonzero(np.isfinite(values))
        numbers = np.concatenate([self.values, values[finite]])
        rows = np.concatenate([self.rows, finite + start])
        order = numbers if self.least else -numbers
        kept = np.arange(order.size)
        if order.size > count:
            last = np.partition(order, count - 1)[count - 1]
            sure, equal = np.flatnonzero(order < last), np.flatnonzero(order == last)
            kept = np.concatenate([sure, equal[: count - sure.size]])
        kept = kept[np.lexsort((rows[kept], order[kept]))]
        return Best(numbers[kept], rows[kept], self.least)
