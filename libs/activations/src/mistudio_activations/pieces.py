"""A tensor that lies in several shard files, end to end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import StoreCorrupt
from .manifest import Shard
from .rawfile import map_tensor


class Pieces:
    """One array over the same tensor of several shards, mapped when first touched.

    Parameters
    ----------
    root
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
        self, root: Path, shards: Sequence[Shard], tensor: str, dtype: np.dtype[Any], rows: int
    ) -> None:
        self._root, self._shards, self._tensor, self._dtype = root, shards, tensor, dtype
        self._starts = np.concatenate([[0], np.cumsum([s.tokens for s in shards])]).astype(np.int64)
        self._mapped: dict[int, NDArray[Any]] = {}
        self.rows = rows

    def piece(self, index: int) -> NDArray[Any]:
        """Return shard ``index``'s tensor, mapped read-only."""
        if index not in self._mapped:
            found = map_tensor(self._root / self._shards[index].path, self._tensor)
            if found.shape[0] != self._shards[index].tokens or found.dtype != self._dtype:
                raise StoreCorrupt(f"{self._shards[index].path} is not what the manifest says")
            self._mapped[index] = found
        return self._mapped[index]

    def between(self, start: int, end: int) -> NDArray[Any]:
        """Return rows ``start`` to ``end``; a view within one shard, a copy across several."""
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        parts: list[NDArray[Any]] = []
        for index in range(first, len(self._shards)):
            low, high = int(self._starts[index]), int(self._starts[index + 1])
            if low >= end:
                break
            parts.append(self.piece(index)[max(start, low) - low : min(end, high) - low])
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0,), self._dtype)

    def pick(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows in any order, as a copy."""
        shard_of = np.searchsorted(self._starts, rows, "right") - 1
        out: NDArray[Any] | None = None
        for index in np.unique(shard_of):
            chosen = shard_of == index
            part = self.piece(int(index))[rows[chosen] - self._starts[index]]
            if out is None:
                out = np.empty((rows.size, *part.shape[1:]), self._dtype)
            out[chosen] = part
        return np.empty((0,), self._dtype) if out is None else out

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Fill ``out`` with the rows from ``start`` on, read from the files and not mapped.

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
            self._read_shard(index, max(start, low) - low, out[done : done + count])
            done += count

    def _read_shard(self, index: int, row: int, out: NDArray[Any]) -> None:
        mapped = self.piece(index)
        if not isinstance(mapped, np.memmap):
            out[:] = mapped[row : row + len(out)]
            return
        path = self._root / self._shards[index].path
        view = out.view(np.uint8).reshape(-1).data
        at = int(mapped.offset) + row * (out.nbytes // max(1, len(out)))
        with path.open("rb", buffering=0) as file:
            while view:
                read = os.preadv(file.fileno(), [view], at)
                if not read:
                    raise StoreCorrupt(f"{self._shards[index].path} is cut short")
                view, at = view[read:], at + read
