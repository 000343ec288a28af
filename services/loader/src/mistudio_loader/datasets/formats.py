"""Which format a file is in, from the order, its name or its first bytes."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from mistudio_contracts.states import DatasetFormat

from .csvfiles import CsvReader
from .parquet import ParquetReader
from .readers import JsonLinesReader, Reader, TextReader

_ENDINGS: dict[str, DatasetFormat] = {
    ".jsonl": DatasetFormat.JSONL,
    ".ndjson": DatasetFormat.JSONL,
    ".json": DatasetFormat.JSONL,
    ".txt": DatasetFormat.TEXT,
    ".text": DatasetFormat.TEXT,
    ".md": DatasetFormat.TEXT,
    ".csv": DatasetFormat.CSV,
    ".tsv": DatasetFormat.CSV,
    ".parquet": DatasetFormat.PARQUET,
}
_PARQUET_MAGIC = b"PAR1"
_SNIFFED_BYTES = 65_536


def decide_format(path: Path, name: str, ordered: DatasetFormat | None) -> DatasetFormat:
    """Return the format: the one ordered, else by the name's ending, else by the content.

    A file with no telling name is Parquet by its magic bytes, JSON Lines when its first line is
    a JSON object, and text otherwise.
    """
    if ordered is not None:
        return ordered
    named = _ENDINGS.get(PurePosixPath(name).suffix.lower())
    if named is not None:
        return named
    with path.open("rb") as stream:
        start = stream.read(_SNIFFED_BYTES)
    if start.startswith(_PARQUET_MAGIC):
        return DatasetFormat.PARQUET
    first = next((line for line in start.splitlines() if line.strip()), b"")
    if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            # A first line longer than what was read still begins as an object does.
            return DatasetFormat.JSONL if len(first) >= _SNIFFED_BYTES else DatasetFormat.TEXT
        return DatasetFormat.JSONL
    return DatasetFormat.TEXT


def open_reader(path: Path, name: str, format_: DatasetFormat) -> Reader:
    """Return the reader of a format."""
    if format_ is DatasetFormat.JSONL:
        return JsonLinesReader(path)
    if format_ is DatasetFormat.CSV:
        return CsvReader(path, "\t" if name.lower().endswith(".tsv") else ",")
    if format_ is DatasetFormat.PARQUET:
        return ParquetReader(path)
    return TextReader(path)
