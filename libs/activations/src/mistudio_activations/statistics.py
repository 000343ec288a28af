"""Statistics of a column: gathered a batch at a time, kept beside each shard, merged at commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import StoreCorrupt
from .places import Place, whole
from .rawfile import pack, unpack
from .scaled import QuantizationError, ScaledRows, decode, error_of, sums_of

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
    quantization_error
        Of an int8 column, how far it is from what was captured; None for floats. Its norms are of
        the rows before they were rounded, everything else is of the rows as they read.
    """

    count: int
    mean: list[float]
    mean_norm: float
    quantiles: dict[str, float]
    max_norm: float
    max_abs: float
    non_finite: int
    overflow: int
    quantization_error: QuantizationError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ColumnStats:
        """Read what :meth:`to_json` gave."""
        error = document.get("quantization_error")
        known = {**document, "quantization_error": error and QuantizationError(**error)}
        return cls(**known)


class Partial:
    """Statistics of the rows of one shard so far."""

    def __init__(self, tokens: int, width: int, dtype: str) -> None:
        self._sum = np.zeros(width, np.float64)
        self._half = dtype == "float16"
        # By row: sums over them come out the same in whatever order the rows are written.
        self._squares = np.zeros((tokens, 3)) if dtype == "int8" else None
        self._max_abs = 0.0
        self._non_finite = 0
        self._overflow = 0

    def add(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Count ``[rows, width]`` in, and return the rows' norms, float32 ``[rows]``."""
        values = rows.astype(np.float32, copy=False)
        norms: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", values, values))
        self._count(values, whole=bool(np.isfinite(norms).all()))
        return norms

    def add_scaled(self, start_row: int, rows: ScaledRows) -> None:
        """Count rows of int8 in, that lie from ``start_row`` on."""
        if self._squares is None:
            raise ValueError("a shard of floats takes no scaled rows")
        self._squares[start_row : start_row + len(rows.scales)] = rows.squares
        whole = bool(np.isfinite(rows.scales).all())
        self._count(decode(rows.codes, rows.scales), whole=whole)

    def _count(self, values: NDArray[np.float32], *, whole: bool) -> None:
        if not whole:
            finite = np.isfinite(values)
            self._non_finite += int(values.size - np.count_nonzero(finite))
            if self._half:
                self._overflow += int(np.count_nonzero(np.isinf(values)))
            values = np.where(finite, values, np.float32(0))
        self._sum += values.sum(axis=0, dtype=np.float64)
        if values.size:
            self._max_abs = max(self._max_abs, float(values.max()), -float(values.min()))

    def save(self, place: Place, shard: str, size: int, sha256: str) -> None:
        """Write the statistics beside the shard, with its bytes and checksum.

        Equal rows give an equal file.
        """
        told = {
            "sum": self._sum,
            "max_abs": np.array([self._max_abs]),
            "counts": np.array([self._non_finite, self._overflow], np.int64),
            "bytes": np.array([size], np.int64),
            "sha256": np.frombuffer(bytes.fromhex(sha256), np.uint8),
        }
        if self._squares is not None:
            told["errors"] = sums_of(self._squares)
        place.write(beside(shard), pack(told))


def receipt(place: Place, shard: str) -> dict[str, NDArray[Any]]:
    """Return what :meth:`Partial.save` wrote beside a shard file.

    Raises
    ------
    StoreCorrupt
        When it is missing or unreadable.
    """
    path = beside(shard)
    try:
        return unpack(path, place.read(path))
    except FileNotFoundError as error:
        raise StoreCorrupt(f"{path} is missing") from error


def written(place: Place, shard: str) -> tuple[int, str]:
    """Return the bytes and the SHA-256 that a shard file had when it was written.

    Raises
    ------
    StoreCorrupt
        When what lies beside it does not say so.
    """
    found = receipt(place, shard)
    try:
        return int(found["bytes"][0]), found["sha256"].tobytes().hex()
    except KeyError as error:
        raise StoreCorrupt(f"{beside(shard)} says nothing of the shard") from error


def merge(place: Place, shards: Sequence[str]) -> ColumnStats:
    """Return the statistics of a whole column.

    Parameters
    ----------
    place
        The store.
    shards
        The column's shard files; the statistics lie beside them under :func:`beside`.

    Raises
    ------
    StoreCorrupt
        When a file is missing or unreadable.
    """
    total: NDArray[np.float64] | None = None
    max_abs, counts = 0.0, np.zeros(2, np.int64)
    norms, errors = _Norms(), []
    for path in shards:
        partial = receipt(place, path)
        if "errors" in partial:
            errors.append(partial["errors"])
        vector = partial["sum"]
        total = vector.astype(np.float64) if total is None else total + vector
        max_abs = max(max_abs, float(partial["max_abs"][0]))
        counts += partial["counts"]
        norms.add(whole(place.tensor(path, "norms")))
    mean = np.zeros(0) if total is None else total / max(1, norms.count)
    return ColumnStats(
        count=norms.count,
        mean=[float(x) for x in mean],
        mean_norm=norms.sum / max(1, norms.finite),
        quantiles=_quantiles(norms, place, shards),
        max_norm=norms.largest,
        max_abs=max_abs,
        non_finite=int(counts[0]),
        overflow=int(counts[1]),
        quantization_error=error_of(errors) if errors else None,
    )


class _Norms:
    """Counts of norms by the upper half of their bits, which sort as the norms themselves do.

    So the quantiles of any number of rows take the same memory: IEEE 754 orders non-negative floats
    as it orders their bits.
    """

    def __init__(self) -> None:
        self.count, self.finite, self.sum, self.largest = 0, 0, 0.0, 0.0
        self.upper = np.zeros(1 << 16, np.int64)

    def add(self, norms: NDArray[np.float32]) -> None:
        finite = norms[np.isfinite(norms)]
        self.count += int(norms.size)
        self.finite += int(finite.size)
        if finite.size:
            self.sum += float(finite.sum(dtype=np.float64))
            self.largest = max(self.largest, float(finite.max()))
            self.upper += np.bincount(_bits(finite) >> 16, minlength=1 << 16)


def _quantiles(norms: _Norms, place: Place, shards: Sequence[str]) -> dict[str, float]:
    """Return the quantiles, interpolated between two norms as NumPy does by default."""
    if not norms.finite:
        return dict.fromkeys(QUANTILES, 0.0)
    exact = {name: share * (norms.finite - 1) for name, share in QUANTILES.items()}
    ranks = {int(rank) + step for rank in exact.values() for step in (0, 1)}
    values = _at_ranks(norms, place, shards, {min(rank, norms.finite - 1) for rank in ranks})
    found = {}
    for name, rank in exact.items():
        low, high = values[int(rank)], values[min(int(rank) + 1, norms.finite - 1)]
        found[name] = low + (high - low) * (rank - int(rank))
    return found


def _at_ranks(
    norms: _Norms, place: Place, shards: Sequence[str], ranks: set[int]
) -> dict[int, float]:
    """Return the norms that stand at these places of all finite ones in order."""
    below = np.cumsum(norms.upper)
    upper_of = {rank: int(np.searchsorted(below, rank, side="right")) for rank in ranks}
    lower = {upper: np.zeros(1 << 16, np.int64) for upper in upper_of.values()}
    for path in shards:
        every = whole(place.tensor(path, "norms"))
        bits = _bits(every[np.isfinite(every)])
        for upper in lower:
            own = bits[bits >> 16 == upper] & 0xFFFF
            lower[upper] += np.bincount(own, minlength=1 << 16)
    found = {}
    for rank, upper in upper_of.items():
        within = rank - int(below[upper] - norms.upper[upper])
        last = int(np.searchsorted(np.cumsum(lower[upper]), within, side="right"))
        found[rank] = float(np.array(upper << 16 | last, np.uint32).view(np.float32))
    return found


def _bits(norms: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(norms).view(np.uint32)


def beside(shard: str) -> str:
    """Return where the statistics of a shard file lie."""
    return str(PurePosixPath(shard).with_suffix(".stats"))
