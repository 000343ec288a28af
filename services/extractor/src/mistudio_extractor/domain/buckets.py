"""Where positions and lengths are put together, so that a picture has few enough of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mistudio_contracts.looking import LengthBin

EXACT = 32
"""Positions that are told one by one: what differs most, a sample's beginning, is among them."""

MOST_BUCKETS = 64
MOST_BINS = 24


def position_buckets(longest: int) -> list[int]:
    """Return where each bucket of the positions 0 to ``longest`` - 1 begins.

    The first ones hold a position each, where there are many the others more and more, in
    proportion to how far they are from the beginning.
    """
    if longest <= MOST_BUCKETS:
        return list(range(longest))
    starts = list(range(EXACT))
    growth = (longest / EXACT) ** (1 / (MOST_BUCKETS - EXACT))
    start = EXACT
    while start < longest and len(starts) < MOST_BUCKETS:
        starts.append(start)
        start += max(1, math.ceil(start * (growth - 1)))
    return starts


def length_bins(lengths: Sequence[int]) -> list[LengthBin]:
    """Return a histogram of lengths: bins of one width, side by side, the empty ones included.

    The width is 1, 2 or 5 times a power of ten, the least with which the bins are few enough.
    """
    if not lengths:
        return []
    longest = max(lengths)
    width = next(w for w in _widths() if longest // w - min(lengths) // w < MOST_BINS)
    first = min(lengths) // width
    rows = [0] * (longest // width - first + 1)
    for length in lengths:
        rows[length // width - first] += 1
    return [
        LengthBin(from_tokens=start * width, to_tokens=(start + 1) * width - 1, rows=count)
        for start, count in enumerate(rows, first)
    ]


def _widths() -> Iterator[int]:
    scale = 1
    while True:
        yield from (scale, 2 * scale, 5 * scale)
        scale *= 10
