"""How the samples of a shard are ordered and cut into batches, and where their rows belong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """Some tokens, computed once: ``places`` are the rows of the shard where they begin."""

    length: int
    places: tuple[int, ...]


def distinct(
    input_ids: NDArray[np.int32], offsets: NDArray[np.int64], *, padded: bool
) -> list[Sample]:
    """Return the different samples of a shard in the order in which they are computed.

    Packed ones stay in order, so that rows are written in order. Padded ones go by length, so that
    those of a batch pad each other least; the longest first, so that what does not fit the device
    shows at once.

    Parameters
    ----------
    input_ids
        int32 ``[tokens]``, the samples end to end.
    offsets
        int64 ``[samples + 1]``, where each begins.
    padded
        Whether samples of a batch come to lie side by side.
    """
    places: dict[bytes, list[int]] = {}
    for start, end in pairwise(offsets.tolist()):
        places.setdefault(input_ids[start:end].tobytes(), []).append(start)
    size = input_ids.dtype.itemsize
    found = [Sample(len(key) // size, tuple(rows)) for key, rows in places.items()]
    return sorted(found, key=lambda sample: -sample.length) if padded else found


@dataclass(frozen=True)
class Run:
    """Rows ``start`` to ``end`` of a batch, which are the shard's from ``place`` on."""

    place: int
    start: int
    end: int


def runs(batch: Sequence[Sample]) -> list[Run]:
    """Return where a batch's rows belong, its samples end to end, in as few runs as there are."""
    found: list[Run] = []
    start = 0
    for sample in batch:
        end = start + sample.length
        for place in sample.places:
            last = found[-1] if found else None
            if last is not None and last.end == start and last.place - last.start == place - start:
                found[-1] = Run(last.place, last.start, end)
            else:
                found.append(Run(place, start, end))
        start = end
    return found


def iter_batches(
    lengths: Sequence[int],
    token_budget: int,
    max_samples: int | None = None,
    first: int = 0,
    *,
    padded: bool = False,
) -> Iterator[tuple[int, int]]:
    """Yield ``(start, end)`` over consecutive samples, each within the budget.

    The cut depends on the arguments alone: a shard done again is cut the same. A sample longer than
    the budget is alone.

    Parameters
    ----------
    lengths
        Tokens of each sample.
    token_budget
        Most tokens of a batch.
    max_samples
        Most samples of a batch; None for no limit.
    first
        Where to begin.
    padded
        Every sample of a batch counts as many tokens as the longest.
    """
    start, tokens, longest = first, 0, 0
    for index in range(first, len(lengths)):
        full = index - start == max_samples
        most = max(longest, lengths[index])
        needed = most * (index - start + 1) if padded else tokens + lengths[index]
        if index > start and (full or needed > token_budget):
            yield start, index
            start, tokens, most = index, 0, lengths[index]
        tokens, longest = tokens + lengths[index], most
    if start < len(lengths):
        yield start, len(lengths)


def tokens_of(lengths: Sequence[int], *, padded: bool) -> int:
    """Return what a batch counts against the budget."""
    return max(lengths, default=0) * len(lengths) if padded else sum(lengths)
