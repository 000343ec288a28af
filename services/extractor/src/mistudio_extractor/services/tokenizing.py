"""Text or ready-made ids, row by row, into samples; what is left out is noted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.values import Tokenization
from mistudio_extractor.storage.datasets import rows
from mistudio_extractor.storage.skipped import SkippedRows

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


class Tokenizing:
    """Samples of a dataset for one model.

    Parameters
    ----------
    artifact
        The model's directory: its tokenizer and config.
    how
        The recipe. ``column`` must be named.
    """

    def __init__(self, artifact: Path, how: Tokenization) -> None:
        config = json.loads((artifact / "config.json").read_text(encoding="utf-8"))
        self._artifact, self._how = artifact, how
        self._vocab = int(config["vocab_size"])
        context = config.get("max_position_embeddings") or config.get("n_positions")
        self.longest = min(how.max_length or int(context), int(context))

    def samples(
        self, parquet: Path, start: int, end: int | None, skipped: SkippedRows
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield dataset row and tokens of each kept sample; note the others in ``skipped``.

        Raises
        ------
        InvalidInput
            When the column is missing or of no use, an id is outside the vocabulary, or the model
            has no tokenizer.
        """
        column = self._how.column
        if column is None:
            raise InvalidInput(
                "No column is named.",
                field="tokenization.column",
                reason="no_column",
                remedy="Name the column that holds text or input_ids.",
            )
        for first, values in rows(parquet, column, start, end):
            for row, ids in enumerate(self._ids(values, first, column), start=first):
                if not ids:
                    skipped.empty.append(row)
                elif len(ids) > self.longest:
                    skipped.too_long.append(row)
                else:
                    yield row, ids

    def _ids(self, values: list[Any], first: int, column: str) -> list[list[int]]:
        kinds = {type(value) for value in values if value is not None}
        if kinds <= {list}:
            return [self._checked(value or [], first + i) for i, value in enumerate(values)]
        if kinds <= {str}:
            return self._tokenized([value or "" for value in values])
        raise InvalidInput(
            f"The column {column!r} holds neither text nor lists of ids.",
            field="tokenization.column",
            reason="wrong_column_type",
            remedy="Choose a column of text or of input_ids.",
        )

    def _checked(self, ids: list[int], row: int) -> list[int]:
        if ids and not (min(ids) >= 0 and max(ids) < self._vocab):
            raise InvalidInput(
                f"Row {row} has a token id outside 0 to {self._vocab - 1}.",
                field="tokenization.column",
                reason="token_out_of_range",
                row=row,
                remedy="Tokenise with this model's own tokenizer.",
            )
        return ids[: self.longest] if self._how.truncate else ids

    def _tokenized(self, texts: list[str]) -> list[list[int]]:
        # An empty text is an empty sample, even where the tokenizer would add a special token.
        tokenizer = _tokenizer(self._artifact)
        limits = {"truncation": True, "max_length": self.longest} if self._how.truncate else {}
        found = tokenizer(
            texts, add_special_tokens=self._how.add_special_tokens, verbose=False, **limits
        )["input_ids"]
        return [ids if text else [] for text, ids in zip(texts, found, strict=True)]


@lru_cache(maxsize=4)
def _tokenizer(artifact: Path) -> Any:
    if not any((artifact / name).exists() for name in _TOKENIZER_FILES):
        raise InvalidInput(
            "The model has no tokenizer.",
            field="tokenization.column",
            reason="no_tokenizer",
            remedy="Give a dataset of ready-made input_ids, or a model with tokenizer files.",
        )
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        artifact, local_files_only=True, trust_remote_code=False, use_fast=True
    )
