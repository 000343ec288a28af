"""Reading a store: lazy columns whose row i is token i."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .batches import BLOCK_BYTES, BUFFER_BYTES, Batches, Keep, Options
from .commit import STATS
from .damage import Damage, damage_of, files_of
from .errors import ColumnNotFound, StoreCorrupt, StoreNotFound
from .manifest import ColumnEntry, Manifest, read_manifest
from .pieces import Pieces
from .places import Place, Where, place_of, whole
from .rawfile import STORE_DTYPES
from .scaled import decode
from .statistics import ColumnStats

if TYPE_CHECKING:
    import torch


def open(store: Where) -> ActivationStore:
    """Open the store that lies there.

    Raises
    ------
    StoreNotFound
        When nothing is visible there.
    StoreCorrupt
        When its manifest cannot be read.
    """
    place = place_of(store)
    manifest = read_manifest(place)
    if manifest is None:
        raise StoreNotFound(place)
    return ActivationStore(place, manifest)


class Rows:
    """Stored rows as they lie on the disk, ``[tokens, width]``, read when indexed.

    Index it with an int, a slice or an array of rows.
    """

    def __init__(self, pieces: Pieces, width: int, dtype: np.dtype[Any]) -> None:
        self._pieces = pieces
        self.shape = (pieces.rows, width)
        self.dtype = dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Return a row ``[width]`` for an int, else rows ``[n, width]``."""
        found = _take(self._pieces, key)
        return found[0] if isinstance(key, (int, np.integer)) else found.reshape(-1, self.shape[1])

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Fill ``out``, ``[n, width]`` of this dtype, with the rows from ``start`` on.

        Reads the files past any map of them, which a cold disk serves faster.
        """
        self._pieces.read_into(start, out)


class Column:
    """A column, ``[tokens, width]``. Index it with an int, a slice or an array of rows.

    Rows of an int8 store read as float32; ``raw`` and ``scales`` are what lies on the disk.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        entry: ColumnEntry,
        offsets: NDArray[np.int64],
    ) -> None:
        self.name = name
        self.shards = entry.shards
        self.quantization_error = entry.quantization_error
        self._place = place
        self._offsets = offsets
        rows, stored = int(offsets[-1]), STORE_DTYPES[entry.dtype]
        floats = np.dtype(np.float32)
        self.raw = Rows(
            Pieces(place, entry.shards, "activations", stored, rows), entry.width, stored
        )
        self.shape = self.raw.shape
        self._norms = Pieces(place, entry.shards, "norms", floats, rows)
        scaled = entry.dtype == "int8"
        self._scales = Pieces(place, entry.shards, "scales", floats, rows) if scaled else None
        self.dtype = floats if scaled else stored

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Return a row ``[width]`` for an int, else rows ``[n, width]``."""
        rows = self.raw[key]
        if self._scales is None:
            return rows
        scales = _take(self._scales, key)
        return decode(rows, scales[0] if isinstance(key, (int, np.integer)) else scales)

    def sample(self, index: int) -> NDArray[Any]:
        """Return the rows of one sample, ``[tokens, width]``."""
        start, end = _bounds(self._offsets, index)
        return self[start:end]

    @property
    def norms(self) -> NDArray[np.float32]:
        """The rows' L2 norms, float32 ``[tokens]``, computed in float32 before any rounding."""
        return self._norms.between(0, len(self))

    def norms_between(self, start: int, end: int) -> NDArray[np.float32]:
        """Return the norms of rows ``start`` to ``end``, float32."""
        return self._norms.between(start, end)

    @property
    def scales(self) -> NDArray[np.float32] | None:
        """What the codes in ``raw`` are times, float32 ``[tokens]``; None for floats."""
        return None if self._scales is None else self._scales.between(0, len(self))

    def scales_between(self, start: int, end: int) -> NDArray[np.float32] | None:
        """Return the scales of rows ``start`` to ``end``, float32; None for floats."""
        return None if self._scales is None else self._scales.between(start, end)

    @cached_property
    def stats(self) -> ColumnStats:
        """Statistics over all tokens of the column, also when seen through a view."""
        return ColumnStats.from_json(json.loads(self._place.read(f"{self.name}/{STATS}")))

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean vector, float64 ``[width]``."""
        return np.array(self.stats.mean)

    def to_torch(self) -> torch.Tensor:
        """Return the whole column as a tensor ``[tokens, width]`` in memory."""
        import torch

        rows = np.array(self[:])
        if self.dtype == STORE_DTYPES["bfloat16"]:
            return torch.from_numpy(rows.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(rows)

    def __repr__(self) -> str:
        return f"<Column {self.name} {list(self.shape)} {self.raw.dtype}>"


class ActivationStore:
    """A store, or a view of its first samples."""

    def __init__(self, place: Place, manifest: Manifest, samples: int | None = None) -> None:
        self.place = place
        self.manifest = manifest
        total = sum(s.samples for s in manifest.tokens)
        self.samples = total if samples is None else min(samples, total)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, sorted by layer."""
        return sorted(self.manifest.columns, key=lambda n: [_natural(p) for p in n.split(".")])

    @property
    def dtype(self) -> np.dtype[Any]:
        """What rows read as: the manifest's dtype, float32 for int8."""
        return STORE_DTYPES["float32" if self.manifest.dtype == "int8" else self.manifest.dtype]

    @property
    def tokens(self) -> int:
        """Tokens of all visible samples."""
        return int(self.offsets[-1])

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """int64 ``[samples + 1]``: where each sample begins among the tokens."""
        parts: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        start = 0
        for shard in self.manifest.tokens:
            parts.append(whole(self.place.tensor(shard.path, "offsets"))[1:] + start)
            start += shard.tokens
        return np.concatenate(parts)[: self.samples + 1]

    @cached_property
    def sample_ids(self) -> NDArray[np.int64]:
        """int64 ``[samples]``: the dataset row of each sample."""
        parts = [whole(self.place.tensor(s.path, "sample_ids")) for s in self.manifest.tokens]
        return np.concatenate(parts)[: self.samples] if parts else np.empty(0, np.int64)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """int64 ``[samples]``: where each sample begins among the tokens of its row.

        0 but in windows of longer rows; special tokens that the tokenizer added are not counted.
        """
        parts = [_starts(self.place, s.path, s.samples) for s in self.manifest.tokens]
        return np.concatenate(parts)[: self.samples] if parts else np.empty(0, np.int64)

    @cached_property
    def input_ids(self) -> NDArray[np.int32]:
        """int32 ``[tokens]``: the samples end to end."""
        return self.input_ids_between(0, self.tokens)

    def input_ids_between(self, start: int, end: int) -> NDArray[np.int32]:
        """Return the token ids of rows ``start`` to ``end``, int32."""
        return self._input_ids.between(start, end)

    @cached_property
    def _input_ids(self) -> Pieces:
        return Pieces(
            self.place, self.manifest.tokens, "input_ids", np.dtype(np.int32), self.tokens
        )

    def __getitem__(self, name: str) -> Column:
        """Return a column.

        Raises
        ------
        ColumnNotFound
            Naming the columns there are.
        """
        entry = self.manifest.columns.get(name)
        if entry is None:
            raise ColumnNotFound(name, self.columns)
        offsets = self.offsets[: min(self.samples, entry.samples) + 1]
        return Column(self.place, name, entry, offsets)

    def __contains__(self, name: object) -> bool:
        return name in self.manifest.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def sample(self, index: int) -> dict[str, NDArray[Any]]:
        """Return one sample: ``input_ids`` ``[tokens]`` and each covering column's rows."""
        start, end = _bounds(self.offsets, index)
        found: dict[str, NDArray[Any]] = {"input_ids": self.input_ids[start:end]}
        position = index if index >= 0 else index + self.samples
        for name, entry in self.manifest.columns.items():
            if position < entry.samples:
                found[name] = self[name][start:end]
        return found

    def batches(
        self,
        columns: Sequence[str],
        batch_size: int = 4096,
        *,
        shuffle: bool = True,
        seed: int = 0,
        keep: Keep | None = None,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        block_bytes: int = BLOCK_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> Batches:
        """Return batches for training, an epoch at each iteration.

        Parameters
        ----------
        columns
            Several at once give the same rows of each, for a crosscoder.
        batch_size
            Rows of a batch; the last may have fewer unless ``drop_last``.
        shuffle, seed
            Blocks of ``block_bytes`` come in random order, and the rows of as many as
            ``buffer_bytes`` hold are mixed. The same seed gives the same batches.
        keep
            Which rows; None for all.
        rank, world_size
            Every rank reads blocks of its own.

        Raises
        ------
        ColumnNotFound
            Naming the columns there are.
        ActivationsError
            When a number makes no sense.
        """
        options = Options(
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            keep=keep or Keep(),
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
            block_bytes=block_bytes,
            buffer_bytes=buffer_bytes,
        )
        return Batches(self, columns, options)

    def view(self, samples: int) -> ActivationStore:
        """Return the same store, its first ``samples`` samples visible."""
        return ActivationStore(self.place, self.manifest, min(samples, self.samples))

    def verify(self) -> None:
        """Read every visible file and compare it with its checksum.

        Raises
        ------
        StoreCorrupt
            Naming the first file that differs.
        """
        for path, shard in files_of(self.manifest).items():
            found = damage_of(self.place, path, shard)
            if found is not None:
                raise StoreCorrupt(f"{path} {_DAMAGED[found]}")

    def __repr__(self) -> str:
        return f"<ActivationStore {self.samples} samples, {self.tokens} tokens, {self.columns}>"


_DAMAGED: dict[Damage, str] = {
    "missing": "is missing",
    "unreadable": "cannot be read",
    "size": "is not what was written",
    "content": "is not what was written",
}


def _take(pieces: Pieces, key: int | slice | Sequence[int] | NDArray[Any]) -> NDArray[Any]:
    """Return the chosen rows ``[n, ...]``, a view of the file where they lie side by side."""
    if isinstance(key, slice):
        start, stop, step = key.indices(pieces.rows)
        if step == 1:
            return pieces.between(start, max(start, stop))
        return pieces.pick(np.arange(start, stop, step, dtype=np.int64))
    wanted = np.asarray([key] if isinstance(key, (int, np.integer)) else key)
    if wanted.dtype == np.bool_:
        if wanted.shape != (pieces.rows,):
            raise IndexError(f"a mask must have {pieces.rows} entries, not {wanted.size}")
        wanted = np.flatnonzero(wanted)
    rows = wanted.astype(np.int64).ravel()
    rows = np.where(rows < 0, rows + pieces.rows, rows)
    if ((rows < 0) | (rows >= pieces.rows)).any():
        raise IndexError(f"a row lies outside 0 to {pieces.rows - 1}")
    return pieces.pick(rows)


def _starts(place: Place, path: str, samples: int) -> NDArray[np.int64]:
    if "starts" not in place.specs(path):
        return np.zeros(samples, np.int64)
    return whole(place.tensor(path, "starts"))


def _bounds(offsets: NDArray[np.int64], index: int) -> tuple[int, int]:
    samples = offsets.size - 1
    position = index + samples if index < 0 else index
    if not 0 <= position < samples:
        raise IndexError(f"sample {index} lies outside 0 to {samples - 1}")
    return int(offsets[position]), int(offsets[position + 1])


def _natural(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdigit() else (-1, part)
