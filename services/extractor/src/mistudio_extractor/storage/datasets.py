"""Rows of a canonical dataset, streamed from Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mistudio_contracts.errors import InvalidInput

BATCH = 512


def rows(path: Path, column: str, start: int, end: int | None) -> Iterator[tuple[int, list[Any]]]:
    """Yield ``(first row, values)`` of one column, from row ``start`` up to ``end``.

    Row groups before ``start`` are not read; at most a row group is in memory.

    Raises
    ------
    InvalidInput
        When the column is not there.
    """
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if column not in names:
            raise InvalidInput(
                f"There is no column {column!r}; the columns are: {', '.join(names)}.",
                field="tokenization.column",
                reason="wrong_column",
                remedy=f"Name one of: {', '.join(names)}.",
            )
        position = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if position + size <= start:
                position += size
                continue
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=[column]):
                values = batch.column(0).to_pylist()
                low = max(start - position, 0)
                high = len(values) if end is None else min(len(values), end - position)
                if low < high:
                    yield position + low, values[low:high]
                position += len(values)
                if end is not None and position >= end:
                    return
