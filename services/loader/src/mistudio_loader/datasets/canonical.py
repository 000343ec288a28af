"""The canonical dataset: one Parquet file, its fingerprint and its first rows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mistudio_loader.storage.canonical import DATA

from .columns import Column
from .limits import require_size
from .readers import Reader, schema_of

PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 300
PREVIEW_TOKENS = 32
_FORMAT = "mistudio-dataset-1"


@dataclass
class Canonical:
    """What was written."""

    rows: int = 0
    fingerprint: str = ""
    preview: list[dict[str, Any]] = field(default_factory=list)


def write_canonical(reader: Reader, directory: Path, max_bytes: int) -> Canonical:
    """Write ``data.parquet`` into ``directory``, reading the rows once.

    The fingerprint is over the columns' names and types and every value in order: the same rows
    give the same one from any format that keeps their types.

    Raises
    ------
    InvalidInput
        Of the reader.
    PayloadTooLarge
        The rows take more than ``max_bytes`` in memory.
    """
    found = Canonical()
    columns = reader.columns
    digest = _start_digest(columns)
    size = 0
    with pq.ParquetWriter(
        directory / DATA, schema_of(columns), compression="zstd", version="2.6"
    ) as writer:
        for batch in reader.batches():
            size += batch.nbytes
            require_size(size, max_bytes)
            writer.write_batch(batch, row_group_size=max(len(batch), 1))
            lists = [column.to_pylist() for column in batch.columns]
            for row in zip(*lists, strict=True):
                digest.update(_encode(row))
            missing = PREVIEW_ROWS - len(found.preview)
            if missing > 0:
                found.preview += [
                    {name: shorten(value) for name, value in row.items()}
                    for row in batch.slice(0, missing).to_pylist()
                ]
            found.rows += len(batch)
    found.fingerprint = digest.hexdigest()[:32]
    return found


def _start_digest(columns: Sequence[Column]) -> Any:
    head = [[c.name, str(c.type), c.kind] for c in columns]
    return hashlib.sha256(_encode([_FORMAT, head]))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return str(value)


# Built once: json.dumps would build one for each row.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)


def _encode(row: Any) -> bytes:
    return _ENCODER.encode(row).encode() + b"\n"


def shorten(value: Any) -> Any:
    """Return a value as a preview shows it: JSON, with long strings and lists cut."""
    if isinstance(value, str):
        return value[:PREVIEW_CHARACTERS]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, (list, tuple)):
        return [shorten(v) for v in value[:PREVIEW_TOKENS]]
    if isinstance(value, dict):
        return {str(k): shorten(v) for k, v in list(value.items())[:PREVIEW_TOKENS]}
    return str(value)[:PREVIEW_CHARACTERS]
