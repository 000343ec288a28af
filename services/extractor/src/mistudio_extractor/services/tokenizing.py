"""Text or ready-made ids, row by row, into samples; what is left out is noted."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.values import Tokenization
from mistudio_extractor.domain.cutting import Sample, windows
from mistudio_extractor.storage.datasets import Kind, rows
from mistudio_extractor.storage.skipped import SkippedRows
from mistudio_footprint import DecoderShape

log = logging.getLogger(__name__)

FIELD = "tokenization.column"

_VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
)
"""One must be there: of a mere config transformers makes an empty tokenizer, in silence."""


FEW = 32
"""Rows that are tokenised together where who asks may have enough at any time."""

NICE = 10
"""The tokenizers library takes every core, which a forward pass on a CPU needs more."""


def yield_to_others() -> None:
    """Let this thread, and those that it starts, have what the machine's others leave."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class PlanStopped(Exception):
    """Whoever asked for the plan no longer wants it."""


class Tokenizing:
    """Samples of a dataset for one model.

    Parameters
    ----------
    artifact
        The model's directory: its tokenizer and config.
    how
        The recipe. ``column`` must be named.

    Raises
    ------
    InvalidInput
        When windows would leave gaps.
    """

    def __init__(self, artifact: Path, how: Tokenization) -> None:
        config = json.loads((artifact / "config.json").read_text(encoding="utf-8"))
        shape = DecoderShape.from_config(config)
        self._artifact, self._how = artifact, how
        self._vocab = shape.vocab
        self.longest = min(how.max_length or shape.context, shape.context)
        if how.stride is not None and how.stride > self.longest:
            raise _gaps(how.stride, self.longest)

    def samples(
        self,
        parquet: Path,
        start: int,
        end: int | None,
        skipped: SkippedRows,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Sample]:
        """Yield the samples of the kept rows; note the other rows in ``skipped``.

        Parameters
        ----------
        parquet
            The canonical dataset.
        start, end
            Dataset rows, from 0; None for all.
        skipped
            Grows by the rows left out.
        should_stop
            Asked before each batch of rows.

        Raises
        ------
        InvalidInput
            When the column is missing or of no use, an id is outside the vocabulary, the model
            has no tokenizer, or its windows make no sense.
        PlanStopped
            When ``should_stop`` said so.
        """
        for first, values, kind in rows(parquet, self._column(), start, end):
            if should_stop():
                raise PlanStopped
            for row, ids in enumerate(self._ids(values, kind), start=first):
                if not ids:
                    skipped.empty(row)
                elif len(ids) <= self.longest:
                    yield Sample(row, 0, self._checked(ids, row, kind))
                elif self._how.truncate:
                    yield Sample(row, 0, self._checked(ids[: self.longest], row, kind))
                elif self._how.stride is not None:
                    yield from self._windows(self._checked(ids, row, kind), row, kind)
                else:
                    skipped.too_long(row)

    def lengths(self, parquet: Path, start: int, end: int) -> Iterator[list[int]]:
        """Yield how many tokens rows have, of a few at a time; none is cut or left out.

        Raises
        ------
        InvalidInput
            As :meth:`samples`, but for what is wrong with a row's tokens.
        """
        for _, values, kind in rows(parquet, self._column(), start, end):
            for at in range(0, len(values), FEW):
                yield [len(ids) for ids in self._ids(values[at : at + FEW], kind)]

    def _ids(self, values: list[Any], kind: Kind) -> list[list[int]]:
        return self._tokenized(values) if kind == "text" else [v or [] for v in values]

    def _windows(self, ids: NDArray[np.int32], row: int, kind: Kind) -> Iterator[Sample]:
        """Yield the windows of a row, each with the special tokens that the whole row has."""
        assert self._how.stride is not None
        before, after = (0, 0)
        if kind == "text" and self._how.add_special_tokens:
            before, after = _special_tokens(self._artifact)
        head, text, tail = np.split(ids, [before, len(ids) - after])
        room = self.longest - before - after
        if room < 1:
            raise _no_room(self.longest, before + after)
        for start, end in windows(len(text), room, self._how.stride):
            yield Sample(row, start, np.concatenate([head, text[start:end], tail]))

    def _column(self) -> str:
        if self._how.column is None:
            raise InvalidInput(
                "No column is named.",
                field=FIELD,
                reason="no_column",
                remedy="Name the column that holds text or input_ids.",
            )
        return self._how.column

    def _checked(self, ids: list[int], row: int, kind: Kind) -> NDArray[np.int32]:
        if None not in ids and min(ids) >= 0 and max(ids) < self._vocab:
            return np.array(ids, np.int32)
        wrong = next(i for i in ids if i is None or not 0 <= i < self._vocab)
        own = "The model's tokenizer does not belong to it" if kind == "text" else "Tokenise again"
        raise InvalidInput(
            f"Row {row + 1} has the token id {wrong}, which is not within 0 to {self._vocab - 1}.",
            field=FIELD,
            reason="token_out_of_range",
            row=row + 1,
            value=wrong,
            vocab_size=self._vocab,
            remedy=f"{own}: use ids of this model's own tokenizer.",
        )

    def _tokenized(self, values: list[Any]) -> list[list[int]]:
        # An empty text is an empty sample, even where the tokenizer would add a special token.
        texts = [value for value in values if value]
        if not texts:
            return [[] for _ in values]
        found = iter(
            tokenizer_of(self._artifact)(
                texts,
                add_special_tokens=self._how.add_special_tokens,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )["input_ids"]
        )
        return [next(found) if value else [] for value in values]


@lru_cache(maxsize=4)
def tokenizer_of(artifact: Path) -> Any:
    """Return the tokenizer that lies in an artifact's directory.

    Raises
    ------
    InvalidInput
        When there is none, or it cannot be read.
    """
    if not any((artifact / name).is_file() for name in _VOCABULARIES):
        raise _no_tokenizer("The model has no tokenizer.")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            artifact, local_files_only=True, trust_remote_code=False, use_fast=True
        )
        if tokenizer.is_fast:
            # Else the first call would do so, and fail where another thread's is under way.
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.no_padding()
        return tokenizer
    except Exception as error:
        # The tokenizers library raises bare exceptions for files it cannot read.
        log.warning("A tokenizer could not be read.", exc_info=error)
        raise _no_tokenizer("The model's tokenizer cannot be read.") from error


@lru_cache(maxsize=4)
def _special_tokens(artifact: Path) -> tuple[int, int]:
    """Return how many special tokens the tokenizer puts before and after a text.

    Found by comparison: what a tokenizer's post-processor does is written down in too many ways.
    """
    tokenizer = tokenizer_of(artifact)
    bare, full = (
        tokenizer("a", add_special_tokens=added, verbose=False)["input_ids"]
        for added in (False, True)
    )
    for before in range(len(full) - len(bare) + 1):
        if full[before : before + len(bare)] == bare:
            return before, len(full) - before - len(bare)
    raise InvalidInput(
        "The special tokens of this model's tokenizer cannot be told from the text's.",
        field="tokenization.add_special_tokens",
        reason="special_tokens_unknown",
        remedy="Ask for windows with add_special_tokens=false.",
    )


def _gaps(stride: int, longest: int) -> InvalidInput:
    return InvalidInput(
        f"Windows of the model's context, {longest} tokens, that begin {stride} tokens apart "
        "would leave gaps.",
        field="tokenization.stride",
        reason="leaves_gaps",
        remedy=f"Choose at most {longest}.",
    )


def _no_room(longest: int, special: int) -> InvalidInput:
    return InvalidInput(
        f"A window of {longest} tokens has no room beside {special} special ones.",
        field="tokenization.max_length",
        reason="no_room_for_text",
        remedy=f"Choose a max_length of more than {special}, or add_special_tokens=false.",
    )


def _no_tokenizer(message: str) -> InvalidInput:
    return InvalidInput(
        message,
        field=FIELD,
        reason="no_tokenizer",
        remedy="Give a dataset of ready-made input_ids, or a model with its tokenizer files.",
    )
