"""Cutting samples into shards: the same samples give the same shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass
class Cut:
    """Samples of one shard: ``rows`` are their dataset rows, ``ids`` their tokens."""

    rows: list[int] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.ids))


def cut(samples: Iterable[tuple[int, list[int]]], shard_tokens: int) -> Iterator[Cut]:
    """Yield shards of consecutive samples, each ended before it would exceed ``shard_tokens``.

    A longer sample is a shard of its own.

    Parameters
    ----------
    samples
        Dataset row and tokens of each sample, in order; none empty.
    shard_tokens
        About how many tokens a shard holds.
    """
    current, tokens = Cut(), 0
    for row, ids in samples:
        if current.ids and tokens + len(ids) > shard_tokens:
            yield current
            current, tokens = Cut(), 0
        current.rows.append(row)
        current.ids.append(ids)
        tokens += len(ids)
    if current.ids:
        yield current
