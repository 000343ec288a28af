"""Rows of a canonical dataset, streamed from Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_contracts.errors import ExtractionFailed, InvalidInput

Kind = Literal["text", "tokens"]
FIELD = "tokenization.column"
BATCH = 512


def rows(
    path: Path, column: str, start: int, end: int | None
) -> Iterator[tuple[int, list[Any], Kind]]:
    """Yield first row, values and kind of each piece of a column, from ``start`` up to ``end``.

    Row groups before ``start`` are not read; at most a row group is in memory.

    Raises
    ------
    InvalidInput
        When the column is not there, or holds neither text nor lists of whole numbers.
    ExtractionFailed
        When the file is damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from _rows(file, column, start, end)
    except pa.ArrowInvalid as error:
        raise ExtractionFailed(
            "The dataset's file is damaged.",
            reason="dataset_damaged",
            remedy="Register the dataset again.",
        ) from error


def _rows(
    file: Any, column: str, start: int, end: int | None
) -> Iterator[tuple[int, list[Any], Kind]]:
    kind = _kind(file.schema_arrow, column)
    position = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if position + size <= start:
            position += size
            continue
        for batch in file.iter_batches(BATCH, row_groups=[group], columns=[column]):
            low = max(start - position, 0)
            high = len(batch) if end is None else min(len(batch), end - position)
            if low < high:
                yield position + low, batch.column(0).slice(low, high - low).to_pylist(), kind
            position += len(batch)
            if end is not None and position >= end:
                return


def _kind(schema: Any, column: str) -> Kind:
    names = ", ".join(schema.names)
    if column not in schema.names:
        raise InvalidInput(
            f"There is no column {column!r}; the columns are: {names}.",
            field=FIELD,
            reason="wrong_column",
            remedy=f"Name one of: {names}.",
        )
    held = schema.field(column).type
    if pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_null(held):
        return "text"
    listed = pa.types.is_list(held) or pa.types.is_large_list(held)
    if listed and pa.types.is_integer(held.value_type):
        return "tokens"
    raise InvalidInput(
        f"The column {column!r} holds neither text nor lists of token ids.",
        field=FIELD,
        reason="wrong_column_type",
        remedy="Choose a column of text or of input_ids.",
    )
