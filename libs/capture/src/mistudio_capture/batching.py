"""How the samples of a shard are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def iter_batches(
    lengths: Sequence[int],
    token_budget: int,
    max_samples: int | None = None,
    first: int = 0,
    *,
    padded: bool = False,
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
