"""The manifest: what of a store is visible."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .errors import StoreCorrupt, UnknownVersion
from .places import MANIFEST, Where, place_of
from .provenance import Info
from .scaled import QuantizationError
from .schema import DTYPES, PATH, SCHEMA_VERSION, SHA256


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
    """A visible column: the shards it covers, the first ones of the store.

    ``quantization_error`` is of an int8 column; None for floats.
    """

    width: int
    dtype: str
    quantization_error: QuantizationError | None
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
    info: Info = field(default_factory=Info)
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

    def part(self, first: int, last: int) -> Manifest:
        """Return what shards ``first`` to ``last`` hold, as a store of their own.

        Its samples and rows count from 0 there. It is for reading: none but the first shards of a
        store are ever committed.
        """
        columns = {
            name: replace(column, shards=column.shards[first:last])
            for name, column in self.columns.items()
        }
        return replace(self, tokens=self.tokens[first:last], columns=columns)

    def to_json(self) -> bytes:
        """Return canonical JSON: equal manifests are equal bytes."""
        document = asdict(self)
        document["columns"] = dict(sorted(document["columns"].items()))
        return json.dumps(document, indent=1, sort_keys=False).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Read a manifest of this version or an older one.

        Raises
        ------
        UnknownVersion
            When it is of a version that this code does not know.
        StoreCorrupt
            When it is no manifest.
        """
        try:
            document = json.loads(text)
            version = document["schema_version"]
            read = _READERS.get(version)
            if read is None:
                raise UnknownVersion(version, sorted(_READERS))
            return read(document)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreCorrupt("the manifest cannot be read") from error


def _from_1(document: Mapping[str, Any]) -> Manifest:
    """Read version 1: one dtype of floats for all columns, and ``info`` as one liked."""
    columns = {
        name: {**column, "dtype": document["dtype"], "quantization_error": None}
        for name, column in document["columns"].items()
    }
    return _from_2({**document, "columns": columns})


def _from_2(document: Mapping[str, Any]) -> Manifest:
    return Manifest(
        dtype=_dtype(document["dtype"]),
        tokens=_shards(document["tokens"]),
        columns={name: _column(column) for name, column in document["columns"].items()},
        info=Info.from_json(document["info"]),
    )


def _column(document: Mapping[str, Any]) -> ColumnEntry:
    error = document["quantization_error"]
    return ColumnEntry(
        width=_count(document["width"]),
        dtype=_dtype(document["dtype"]),
        quantization_error=None if error is None else _error(error),
        shards=_shards(document["shards"]),
    )


def _shards(documents: Sequence[Mapping[str, Any]]) -> tuple[Shard, ...]:
    found = tuple(Shard(**each) for each in documents)
    for shard in found:
        # A store may come from a stranger, and its manifest lead out of it.
        if not PATH.fullmatch(shard.path) or not SHA256.fullmatch(shard.sha256):
            raise ValueError("a shard has no path or no checksum")
        for number in (shard.tokens, shard.samples, shard.bytes):
            _count(number)
    return found


def _error(document: Mapping[str, Any]) -> QuantizationError:
    if not all(isinstance(each, (int, float)) for each in document.values()):
        raise ValueError("an error is no number")
    return QuantizationError(**document)


def _count(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("a count is no whole number")
    return number


def _dtype(name: str) -> str:
    if name not in DTYPES:
        raise ValueError("a dtype is not known")
    return name


_READERS: dict[int, Callable[[Mapping[str, Any]], Manifest]] = {1: _from_1, 2: _from_2}


def read_manifest(store: Where) -> Manifest | None:
    """Return a store's manifest, or None where nothing is visible yet."""
    try:
        return Manifest.from_json(place_of(store).read(MANIFEST))
    except FileNotFoundError:
        return None
