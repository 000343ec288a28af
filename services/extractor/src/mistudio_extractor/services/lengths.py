"""How long a dataset's rows are in a model's tokens."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from mistudio_contracts.looking import CountTokensRequest, TokenLengths
from mistudio_extractor.domain.buckets import length_bins
from mistudio_extractor.domain.drawing import drawn
from mistudio_extractor.storage.layout import Layout

from .tokenizing import FEW, Tokenizing

PLACES = 64
"""Of the dataset, where a few rows in succession are counted."""

SECONDS = 5.0
"""After which no more rows are counted."""


class Lengths:
    """Answers ``rpc.extractor.*.dataset.count``. Blocking: call it on a thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def count(self, request: CountTokensRequest) -> TokenLengths:
        """Count the tokens of whole rows, of all where there are few.

        Raises
        ------
        InvalidInput
            When the column is of no use, or the model has no tokenizer.
        ModelLoadFailed, ExtractionFailed
            When the artifact or the dataset is not on this pool's disk.
        """
        tokenizing = Tokenizing(self._layout.artifact(request.artifact), request.tokenization)
        parquet = self._layout.dataset(request.dataset)
        total = request.dataset.sample_count
        pieces = drawn(request.dataset.fingerprint, 0, total, PLACES, FEW)
        lengths = sorted(_counted(tokenizing, parquet, pieces))
        context = tokenizing.longest
        return TokenLengths(
            column=request.tokenization.column or "",
            rows_counted=len(lengths),
            total_rows=total,
            tokens=sum(lengths),
            estimated_total_tokens=sum(lengths) * total // len(lengths),
            shortest=lengths[0],
            median=lengths[(len(lengths) - 1) // 2],
            longest=lengths[-1],
            context_length=context,
            over_context=sum(length > context for length in lengths),
            bins=length_bins(lengths),
        )


def _counted(tokenizing: Tokenizing, parquet: Path, pieces: list[tuple[int, int]]) -> list[int]:
    until = time.monotonic() + SECONDS
    found: list[int] = []
    # In no order, so that they are from everywhere even where time runs out.
    for index in np.random.default_rng(0).permutation(len(pieces)):
        for lengths in tokenizing.lengths(parquet, *pieces[index]):
            found += lengths
            if time.monotonic() >= until:
                return found
    return found
