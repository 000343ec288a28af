"""The manifest: what of a store is visible."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import StoreCorrupt
from .places import MANIFEST, Where, place_of

SCHEMA_VERSION = 1

_SHARD: dict[str, Any] = {
    "type": "object",
    "required": ["path", "tokens", "samples", "bytes", "sha256"],
    "properties": {
        "path": {"type": "string"},
        "tokens": {"type": "integer", "minimum": 0},
        "samples": {"type": "integer", "minimum": 0},
        "bytes": {"type": "integer", "minimum": 0},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}
_SHARDS: dict[str, Any] = {"type": "array", "items": _SHARD}
MANIFEST_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "ActivationManifest",
    "description": "What of an activation store is visible. Row i of every column is token i.",
    "type": "object",
    "required": ["schema_version", "dtype", "tokens", "columns", "info"],
    "properties": {
        "schema_version": {"const": SCHEMA_VERSION},
        "dtype": {"enum": ["float32", "float16", "bfloat16"]},
        "tokens": _SHARDS,
        "columns": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["width", "shards"],
                "properties": {
                    "width": {"type": "integer", "minimum": 1},
                    "shards": _SHARDS,
                },
            },
        },
        "info": {
            "type": "object",
            "description": "Model, dataset, tokenisation and versions of what wrote it.",
        },
    },
}


@dataclass(frozen=True)
class Shard:
    """A visible file. ``path`` is relative to the store."""

    path: str
    tokens: int
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ColumnEntry:
    """A visible column: the shards it covers, the first ones of the store."""

    width: int
    shards: tuple[Shard, ...]

    @property
    def tokens(self) -> int:
        return sum(s.tokens for s in self.shards)

    @property
    def samples(self) -> int:
        return sum(s.samples for s in self.shards)

    @property
    def bytes(self) -> int:
        return sum(s.bytes for s in self.shards)


@dataclass(frozen=True)
class Manifest:
    """What of a store is visible."""

    dtype: str
    tokens: tuple[Shard, ...]
    columns: dict[str, ColumnEntry]
    info: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def samples(self) -> int:
        """Samples of the store; a column may cover fewer."""
        return sum(s.samples for s in self.tokens)

    @property
    def width(self) -> int | None:
        """Width of the columns; None without columns, or when they differ."""
        widths = {column.width for column in self.columns.values()}
        return widths.pop() if len(widths) == 1 else None

    def to_json(self) -> bytes:
        """Return canonical JSON: equal manifests are equal bytes."""
        document = asdict(self)
        document["columns"] = dict(sorted(document["columns"].items()))
        return json.dumps(document, indent=1, sort_keys=False).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Read a manifest.

        Raises
        ------
        StoreCorrupt
            When it is no manifest, or of a version that this code does not know.
        """
        try:
            document = json.loads(text)
            version = document["schema_version"]
            if version != SCHEMA_VERSION:
                raise StoreCorrupt(f"the manifest is of version {version}, this reads 1")
            return cls(
                dtype=document["dtype"],
                tokens=tuple(Shard(**s) for s in document["tokens"]),
                columns={
                    name: ColumnEntry(c["width"], tuple(Shard(**s) for s in c["shards"]))
                    for name, c in document["columns"].items()
                },
                info=document["info"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StoreCorrupt("the manifest cannot be read") from error


def read_manifest(store: Where) -> Manifest | None:
    """Return a store's manifest, or None where nothing is visible yet."""
    try:
        return Manifest.from_json(place_of(store).read(MANIFEST))
    except FileNotFoundError:
        return None
