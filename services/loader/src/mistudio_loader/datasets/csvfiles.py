"""CSV files, with a header row."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mistudio_contracts.states import DatasetFormat

from .columns import Column, Observed
from .lines import MAX_LINE_BYTES, read_lines
from .problems import bad_data
from .readers import batched

_INT = re.compile(r"^(0|-?[1-9]\d{0,17})$")
_FLOAT = re.compile(r"^-?(0|[1-9]\d*)\.\d+([eE][+-]?\d+)?$")
_BOOL = {"true": True, "false": False, "True": True, "False": False}


class CsvReader:
    """A CSV file. A column of numbers or of true and false is kept as such, all else as text.

    Numbers with leading zeros are text, so that nothing is lost. An empty field of a column of
    numbers is null.
    """

    format = DatasetFormat.CSV

    def __init__(self, path: Path, delimiter: str = ",") -> None:
        self._path = path
        self._delimiter = delimiter
        self._columns: tuple[Column, ...] | None = None

    @property
    def columns(self) -> Sequence[Column]:
        if self._columns is None:
            rows = self._rows()
            names = next(rows, (0, []))[1]
            seen = [Observed() for _ in names]
            for row, (_, fields) in enumerate(rows, start=1):
                for observed, field in zip(seen, fields, strict=True):
                    # Once text, always text: the rest of the column need not be parsed.
                    if "str" not in observed.tags:
                        observed.see(_value(field), row)
            found = zip(names, seen, strict=True)
            self._columns = tuple(_text_or(o.column(n)) for n, o in found)
        return self._columns

    def batches(self) -> Iterator[pa.RecordBatch]:
        return batched(self._typed(), self.columns)

    def _typed(self) -> Iterator[tuple[int, dict[str, Any]]]:
        columns = self.columns
        rows = self._rows()
        next(rows, None)
        for size, fields in rows:
            yield (
                size,
                {
                    column.name: field if column.kind == "text" else _value(field)
                    for column, field in zip(columns, fields, strict=True)
                },
            )

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(MAX_LINE_BYTES)
        lines = (line for _, _, line in read_lines(self._path))
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        names: list[str] | None = None
        while True:
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise _malformed(reader.line_num, str(error)) from None
            if fields is None:
                return
            if not fields:
                continue
            if names is None:
                names = fields = _header(fields, reader.line_num)
            elif len(fields) != len(names):
                raise _malformed(
                    reader.line_num, f"it has {len(fields)} fields and the header {len(names)}"
                )
            yield sum(map(len, fields)), fields


def _header(fields: list[str], line: int) -> list[str]:
    names = [name.strip() or f"unnamed_{index}" for index, name in enumerate(fields)]
    if len(set(names)) != len(names):
        raise _malformed(line, "two columns have the same name")
    return names


def _malformed(line: int, why: str) -> Exception:
    return bad_data(
        "malformed_csv",
        f"Line {line} is not the CSV that its header promises: {why}.",
        "Give every line as many fields as the header; quote fields that hold commas or quotes.",
        line=line,
    )


def _value(field: str) -> Any:
    if field == "":
        return None
    if _INT.match(field):
        return int(field)
    if _FLOAT.match(field):
        return float(field)
    return _BOOL.get(field, field)


def _text_or(column: Column) -> Column:
    """Mixed values are text in a CSV file, where everything is text to begin with."""
    if column.as_json or column.type == pa.null():
        return Column(column.name, pa.string(), "text")
    return column
