"""Statistics of a column: gathered a batch at a time, kept beside each shard, merged at commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rawfile import map_tensor, pack, write_atomically

QUANTILES = {
    "p01": 0.01,
    "p05": 0.05,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p95": 0.95,
    "p99": 0.99,
}


@dataclass(frozen=True)
class ColumnStats:
    """Over all tokens of a column.

    Parameters
    ----------
    count
        Tokens.
    mean
        ``[width]``, the mean vector, accumulated in float64; non-finite values count as 0.
    mean_norm, max_norm
        Of the rows' L2 norms, over rows whose norm is finite.
    quantiles
        Of the same norms, exact, by names such as ``p50``.
    max_abs
        The largest finite magnitude of a value.
    non_finite
        Values that are infinite or not a number.
    overflow
        Infinite values of a float16 column: what left the range of float16.
    """

    count: int
    mean: list[float]
    mean_norm: float
    quantiles: dict[str, float]
    max_norm: float
    max_abs: float
    non_finite: int
    overflow: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ColumnStats:
        """Read what :meth:`to_json` gave."""
        return cls(**document)


class Partial:
    """Statistics of the rows of one shard so far."""

    def __init__(self, width: int, *, half: bool) -> None:
        self._sum = np.zeros(width, np.float64)
        self._half = half
        self._max_abs = 0.0
        self._non_finite = 0
        self._overflow = 0

    def add(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Count ``[rows, width]`` in, and return the rows' norms, float32 ``[rows]``."""
        values = rows.astype(np.float32, copy=False)
        norms: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", values, values))
        if not np.isfinite(norms).all():
            finite = np.isfinite(values)
            self._non_finite += int(values.size - np.count_nonzero(finite))
            if self._half:
                self._overflow += int(np.count_nonzero(np.isinf(values)))
            values = np.where(finite, values, np.float32(0))
        self._sum += values.sum(axis=0, dtype=np.float64)
        if values.size:
            self._max_abs = max(self._max_abs, float(values.max()), -float(values.min()))
        return norms

    def save(self, path: Path) -> None:
        """Write the statistics; equal rows give an equal file."""
        write_atomically(
            path,
            pack(
                {
                    "sum": self._sum,
                    "max_abs": np.array([self._max_abs]),
                    "counts": np.array([self._non_finite, self._overflow], np.int64),
                }
            ),
        )


def merge(shards: Sequence[Path]) -> ColumnStats:
    """Return the statistics of a whole column.

    Parameters
    ----------
    shards
        The column's shard files; the statistics lie beside them under :func:`beside`.

    Raises
    ------
    StoreCorrupt
        When a file is missing or unreadable.
    """
    norms = np.concatenate([map_tensor(path, "norms") for path in shards])
    total: NDArray[np.float64] | None = None
    max_abs, counts = 0.0, np.zeros(2, np.int64)
    for path in shards:
        partial = beside(path)
        vector = map_tensor(partial, "sum")
        total = vector.astype(np.float64) if total is None else total + vector
        max_abs = max(max_abs, float(map_tensor(partial, "max_abs")[0]))
        counts += map_tensor(partial, "counts")
    finite = norms[np.isfinite(norms)].astype(np.float64)
    known = finite if finite.size else np.zeros(1)
    quantiles = np.quantile(known, list(QUANTILES.values()))
    mean = np.zeros(0) if total is None else total / max(1, norms.size)
    return ColumnStats(
        count=int(norms.size),
        mean=[float(x) for x in mean],
        mean_norm=float(known.mean()),
        quantiles=dict(zip(QUANTILES, map(float, quantiles), strict=True)),
        max_norm=float(known.max()),
        max_abs=max_abs,
        non_finite=int(counts[0]),
        overflow=int(counts[1]),
    )


def beside(shard: Path) -> Path:
    """Return where the statistics of a shard file lie."""
    return shard.with_name(f"{shard.stem}.stats")
