"""How the samples of a shard are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def iter_batches(
    lengths: Sequence[int], token_budget: int, max_samples: int | None = None, first: int = 0
) -> Iterator[tuple[int, int]]:
    """Yield ``(start, end)`` over consecutive samples, each within the budget.

    Samples keep their order, so rows are written in order. The cut depends on the arguments
    alone: a shard done again is cut the same. A sample longer than the budget is alone.

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
    """
    start, tokens = first, 0
    for index in range(first, len(lengths)):
        full = index - start == max_samples
        if index > start and (full or tokens + lengths[index] > token_budget):
            yield start, index
            start, tokens = index, 0
        tokens += lengths[index]
    if start < len(lengths):
        yield start, len(lengths)
