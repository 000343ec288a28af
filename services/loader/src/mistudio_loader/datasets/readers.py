"""Readers of each format. All stream: a first pass decides the columns, a second gives the rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from mistudio_contracts.states import DatasetFormat

from .columns import Column, Observed
from .lines import read_lines
from .problems import bad_data, undecodable

BATCH_ROWS = 8192
BATCH_BYTES = 64 * 1024 * 1024


class Reader(Protocol):
    """A dataset in some format."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns, in order; the first use may read the whole file."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in order, with the columns' types."""


def batched(
    rows: Iterable[tuple[int, dict[str, Any]]], columns: Sequence[Column]
) -> Iterator[pa.RecordBatch]:
    """Gather rows, each with its size in bytes, into batches of bounded rows and bytes."""
    held: list[dict[str, Any]] = []
    weight = 0
    for size, row in rows:
        held.append(row)
        weight += size
        if len(held) >= BATCH_ROWS or weight >= BATCH_BYTES:
            yield _batch(held, columns)
            held, weight = [], 0
    if held:
        yield _batch(held, columns)


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema of the canonical file; the kind is in each field's metadata."""
    return pa.schema(
        [
            pa.field(
                c.name,
                c.type,
                metadata={"mistudio.kind": c.kind, "mistudio.json": "1" if c.as_json else "0"},
            )
            for c in columns
        ]
    )


def _batch(rows: list[dict[str, Any]], columns: Sequence[Column]) -> pa.RecordBatch:
    arrays = []
    for column in columns:
        values = [row.get(column.name) for row in rows]
        if column.as_json:
            values = [None if v is None else _json(v) for v in values]
        arrays.append(pa.array(values, type=column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema_of(columns))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class TextReader:
    """A plain text file: one sample a line that holds anything but white space."""

    format = DatasetFormat.TEXT
    columns = (Column("text", pa.string(), "text"),)

    def __init__(self, path: Path) -> None:
        self._path = path

    def batches(self) -> Iterator[pa.RecordBatch]:
        return batched(self._rows(), self.columns)

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for _, _, line in read_lines(self._path):
            if line and not line.isspace():
                yield len(line), {"text": line.rstrip("\r\n")}


class JsonLinesReader:
    """One JSON object a line. A column is every key that any line has."""

    format = DatasetFormat.JSONL

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: tuple[Column, ...] | None = None

    @property
    def columns(self) -> Sequence[Column]:
        if self._columns is None:
            seen: dict[str, Observed] = {}
            for row, (_, values) in enumerate(self._rows(), start=1):
                for name, value in values.items():
                    seen.setdefault(name, Observed()).see(value, row)
            self._columns = tuple(found.column(name) for name, found in seen.items())
        return self._columns

    def batches(self) -> Iterator[pa.RecordBatch]:
        return batched(self._rows(), self.columns)

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, offset, line in read_lines(self._path):
            if line and not line.isspace():
                yield len(line), _object(line, number, offset)


def _object(line: str, number: int, offset: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
        if "\\ud" in line or "\\uD" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise undecodable(number, offset) from None
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise bad_data(
            "malformed_json",
            f"Line {number} is not JSON: {why}.",
            "Write one JSON object a line.",
            line=number,
        ) from None
    if not isinstance(value, dict) or not value:
        raise bad_data(
            "malformed_json",
            f"Line {number} is not a JSON object with at least one key.",
            'Write one JSON object a line, for instance {"text": "A sample."}.',
            line=number,
        )
    return value
