"""Rows as int8 with a scale a token: half the bytes of float16, at an error that is measured.

Each row is divided by its largest magnitude over 127 and rounded: the vector-wise quantisation of
LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339, section 3.1), of activations alone. A large
value costs its own token precision and no other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 127
"""The code of a row's largest magnitude; -128 is not used, so that codes are symmetric."""

LARGEST_SCALE = np.nextafter(np.finfo(np.float32).max / np.float32(LARGEST), np.float32(0))
"""A larger one, times its largest code, would leave the range of float32."""


@dataclass(frozen=True)
class ScaledRows:
    """Rows as they are stored, and how far they are from what they were.

    Parameters
    ----------
    codes
        int8 ``[n, width]``; a row reads as its codes times its scale.
    scales
        float32 ``[n]``; not a number where the row held a value that is not finite.
    norms
        float32 ``[n]``, of the rows before they were rounded.
    squares
        float64 ``[n, 3]``: the squared norms of the row, of what it reads as, and of their
        difference.
    """

    codes: Any
    scales: Any
    norms: Any
    squares: Any


@dataclass(frozen=True)
class QuantizationError:
    """How far a column is from the rows that were captured, over its finite rows.

    Parameters
    ----------
    relative_error
        The Frobenius norm of the difference over that of the rows.
    max_row_error
        The largest, over rows, of the difference's norm over the row's.
    mean_cosine
        The mean over rows of the cosine between a row and what it reads as.
    """

    relative_error: float
    max_row_error: float
    mean_cosine: float


def scale_rows(rows: NDArray[Any]) -> ScaledRows:
    """Return ``[n, width]`` rows of floats as int8.

    A row with a value that is not finite keeps none: its scale is not a number, and so reads it.
    """
    values = rows.astype(np.float32, copy=False)
    scales = np.abs(values).max(axis=1, initial=0) / np.float32(LARGEST)
    finite = np.isfinite(scales)
    scales = np.where(finite, np.minimum(scales, LARGEST_SCALE), np.float32(np.nan))
    divisor = np.where(finite & (scales > 0), scales, np.float32(1))
    whole = np.where(finite[:, None], values, np.float32(0))
    # A scale that is no normal number is coarse: the largest magnitude may come out beyond 127.
    codes = np.clip(np.rint(whole / divisor[:, None]), -LARGEST, LARGEST).astype(np.int8)
    squared = _squared(values)
    with np.errstate(over="ignore"):
        norms = np.sqrt(squared).astype(np.float32)
    read = np.where(finite[:, None], decode(codes, scales), np.float32(0))
    parts = (np.where(finite, squared, 0.0), _squared(read), _squared(whole - read))
    return ScaledRows(codes, scales, norms, np.stack(parts, axis=1))


def decode(codes: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what stored rows read as, float32 ``[..., width]``."""
    values = codes.astype(np.float32)
    values *= scales[..., None]
    return values


def sums_of(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what shards add up: float64 ``[5]``, see :func:`error_of`."""
    row, read, error = squares.T
    there = row > 0
    row, read, error = row[there], read[there], error[there]
    ratios = error / row
    with np.errstate(invalid="ignore", divide="ignore"):
        # What was lost as a whole points nowhere.
        cosines = np.where(read > 0, (row + read - error) / (2 * np.sqrt(row * read)), 0.0)
    return np.array([error.sum(), row.sum(), ratios.max(initial=0), cosines.sum(), row.size])


def error_of(shards: Sequence[NDArray[np.float64]]) -> QuantizationError:
    """Return the error of a column from the sums of its shards."""
    error, row, largest, cosines, rows = 0.0, 0.0, 0.0, 0.0, 0.0
    for each in shards:
        error, row = error + float(each[0]), row + float(each[1])
        largest = max(largest, float(each[2]))
        cosines, rows = cosines + float(each[3]), rows + float(each[4])
    return QuantizationError(
        relative_error=math.sqrt(error / row) if row else 0.0,
        max_row_error=math.sqrt(largest),
        mean_cosine=cosines / rows if rows else 1.0,
    )


def _squared(values: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = values.astype(np.float64)
    found: NDArray[np.float64] = np.einsum("ij,ij->i", wide, wide)
    return found
