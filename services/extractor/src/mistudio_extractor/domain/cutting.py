"""Cutting texts into windows, and samples into shards: the same gives the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sample(NamedTuple):
    """Tokens of the dataset's ``row``, int32 ``[tokens]``, from its token ``start`` on."""

    row: int
    start: int
    ids: NDArray[np.int32]


@dataclass
class Cut:
    """Samples of one shard; ``after`` begins the next one, None after the last."""

    samples: list[Sample] = field(default_factory=list)
    after: Sample | None = None

    @property
    def tokens(self) -> int:
        return sum(len(sample.ids) for sample in self.samples)


def cut(samples: Iterable[Sample], shard_tokens: int) -> Iterator[Cut]:
    """Yield shards of consecutive samples, each ended before it would exceed ``shard_tokens``.

    A longer sample is a shard of its own.

    Parameters
    ----------
    samples
        In order; none empty.
    shard_tokens
        About how many tokens a shard holds.
    """
    current, tokens = Cut(), 0
    for sample in samples:
        length = len(sample.ids)
        if current.samples and tokens + length > shard_tokens:
            current.after = sample
            yield current
            current, tokens = Cut(), 0
        current.samples.append(sample)
        tokens += length
    if current.samples:
        yield current


def windows(tokens: int, longest: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield the windows of so many tokens, as ``(start, end)``; together they are all of them.

    Parameters
    ----------
    tokens
        Of the whole.
    longest
        Tokens of a window; the last may have fewer.
    stride
        A window begins so many tokens after the one before, or where that ends if it is earlier.
    """
    start = 0
    while True:
        end = min(start + longest, tokens)
        yield start, end
        if end == tokens:
            return
        start += min(stride, longest)
