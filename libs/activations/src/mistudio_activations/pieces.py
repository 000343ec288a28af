"""A tensor that lies in several shard files, end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import StoreCorrupt
from .manifest import Shard
from .places import Place, Tensor


class Pieces:
    """One array over the same tensor of several shards, opened when first touched.

    Parameters
    ----------
    place
        The store.
    shards
        In order.
    tensor
        Its name in each file.
    dtype
        Of every piece.
    rows
        Rows visible, at most all.
    """

    def __init__(
        self, place: Place, shards: Sequence[Shard], tensor: str, dtype: np.dtype[Any], rows: int
    ) -> None:
        self._place, self._shards, self._tensor, self._dtype = place, shards, tensor, dtype
        self._starts = np.concatenate([[0], np.cumsum([s.tokens for s in shards])]).astype(np.int64)
        self._opened: dict[int, Tensor] = {}
        self.rows = rows

    def piece(self, index: int) -> Tensor:
        """Return shard ``index``'s tensor."""
        if index not in self._opened:
            found = self._place.tensor(self._shards[index].path, self._tensor)
            if found.shape[0] != self._shards[index].tokens or found.dtype != self._dtype:
                raise StoreCorrupt(f"{self._shards[index].path} is not what the manifest says")
            self._opened[index] = found
        return self._opened[index]

    def between(self, start: int, end: int) -> NDArray[Any]:
        """Return rows ``start`` to ``end``; a view within one mapped shard."""
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        parts: list[NDArray[Any]] = []
        for index in range(first, len(self._shards)):
            low, high = int(self._starts[index]), int(self._starts[index + 1])
            if low >= end:
                break
            parts.append(self.piece(index).between(max(start, low) - low, min(end, high) - low))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0,), self._dtype)

    def pick(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows in any order, as a copy."""
        shard_of = np.searchsorted(self._starts, rows, "right") - 1
        out: NDArray[Any] | None = None
        for index in np.unique(shard_of):
            chosen = shard_of == index
            part = self.piece(int(index)).pick(rows[chosen] - self._starts[index])
            if out is None:
                out = np.empty((rows.size, *part.shape[1:]), self._dtype)
            out[chosen] = part
        return np.empty((0,), self._dtype) if out is None else out

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Fill ``out`` with the rows from ``start`` on, read and not mapped.

        Raises
        ------
        StoreCorrupt
            When a shard is missing, cut short, or not what the manifest says.
        """
        end, done = start + len(out), 0
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        for index in range(first, len(self._shards)):
            low, high = int(self._starts[index]), int(self._starts[index + 1])
            if low >= end:
                break
            count = min(end, high) - max(start, low)
            self.piece(index).read_into(max(start, low) - low, out[done : done + count])
            done += count
