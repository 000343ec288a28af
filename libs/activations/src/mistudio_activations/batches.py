"""Batches for training: rows in random order, read from the disk in large pieces.

Single rows in random order would leave a disk at a few percent of its speed. So the rows are cut
into blocks of some megabytes, the blocks are put in random order and dealt out to the ranks, and
some of them at a time are mixed row by row in memory while the next ones are read. Order depends on
the seed, the epoch and the sizes alone, so an interrupted epoch goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ActivationsError
from .scaled import decode

if TYPE_CHECKING:
    from .reader import ActivationStore

BLOCK_BYTES = 16 << 20
"""Of the widest column: long enough for a disk to be as fast as when it reads in order. What the
system reads ahead of a shorter one is wasted."""

BUFFER_BYTES = 256 << 20
"""Of all columns together; as much again is being read meanwhile."""


@dataclass(frozen=True)
class Batch:
    """Some rows. ``columns`` are ``[n, width]`` each, the others ``[n]``.

    ``rows`` are the store's row numbers, ``positions`` count from 0 in each row's sample.
    """

    rows: NDArray[np.int64]
    input_ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Keep:
    """Which rows are read; by default all of them.

    ``without_tokens`` are ids, such as those of special tokens; ``positions`` the least and, unless
    None, the first too large one; ``most_norm`` is of the first column, against outliers.
    """

    without_tokens: frozenset[int] = frozenset()
    positions: tuple[int, int | None] = (0, None)
    most_norm: float | None = None


@dataclass(frozen=True)
class Options:
    """How batches are made; see :meth:`~.reader.ActivationStore.batches`."""

    batch_size: int = 4096
    shuffle: bool = True
    seed: int = 0
    keep: Keep = field(default_factory=Keep)
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    block_bytes: int = BLOCK_BYTES
    buffer_bytes: int = BUFFER_BYTES

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.block_bytes < 1 or self.buffer_bytes < 1:
            raise ActivationsError("batch_size, block_bytes and buffer_bytes must be at least 1")
        if not 0 <= self.rank < self.world_size:
            raise ActivationsError(f"rank {self.rank} is not one of {self.world_size}")


class Batches:
    """An epoch of batches after another: each iteration is one.

    ``state_dict`` says how far the present epoch has come, and ``load_state_dict`` goes on there.
    """

    def __init__(self, store: ActivationStore, columns: Sequence[str], options: Options) -> None:
        if not columns:
            raise ActivationsError("name at least one column")
        self._store, self._options = store, options
        self._columns = {name: store[name] for name in columns}
        self.rows = min(len(column) for column in self._columns.values())
        widths = [c.shape[1] * c.raw.dtype.itemsize for c in self._columns.values()]
        self._block = max(1, options.block_bytes // max(widths))
        self._together = max(1, options.buffer_bytes // (self._block * sum(widths)))
        self.epoch, self._given = 0, 0
        self._spare: dict[str, list[NDArray[Any]]] = {name: [] for name in self._columns}

    def state_dict(self) -> dict[str, int]:
        """Return where the next batch comes from."""
        return {"epoch": self.epoch, "batches": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where ``state_dict`` was called, with the same store and options."""
        self.epoch, self._given = state["epoch"], state["batches"]

    def __iter__(self) -> Iterator[Batch]:
        size = self._options.batch_size
        left: Batch | None = None
        with ThreadPoolExecutor(self._store.place.readers) as readers:
            for chunk in self._chunks(readers, self._given * size):
                start = 0
                while start < len(chunk):
                    missing = size - (0 if left is None else len(left.rows))
                    part = chunk.take(start, start + missing)
                    left = part if left is None else _joined(left, part)
                    start += missing
                    if len(left.rows) == size:
                        self._given += 1
                        yield left
                        left = None
        if left is not None and not self._options.drop_last:
            self._given += 1
            yield left
        self.epoch, self._given = self.epoch + 1, 0

    def _chunks(self, readers: ThreadPoolExecutor, skip: int) -> Iterator[_Chunk]:
        """Yield what is mixed together, the next one on its way, without the first rows."""
        ahead: _Chunk | None = None
        for index, blocks in enumerate(self._groups()):
            where, rows = self._kept(blocks)
            if skip >= rows.size:
                skip -= rows.size
                continue
            order = np.arange(rows.size)
            if self._options.shuffle:
                np.random.default_rng([self._options.seed, self.epoch, index]).shuffle(order)
            order = order[skip:]
            skip = 0
            coming = self._read(readers, blocks, where[order], rows[order])
            if ahead is not None:
                yield ahead.ready()
                self._take_back(ahead)
            ahead = coming
        if ahead is not None:
            yield ahead.ready()
            self._take_back(ahead)

    def _room(self, name: str, rows: int) -> NDArray[Any]:
        """Return memory for rows of a column, used before where it can be: new one comes slowly."""
        spare, column = self._spare[name], self._columns[name]
        if spare and len(spare[-1]) >= rows:
            return spare.pop()[:rows]
        return np.empty((rows, column.shape[1]), column.raw.dtype)

    def _take_back(self, chunk: _Chunk) -> None:
        """Keep a chunk's memory for one that comes. Its batches are copies."""
        for name, values in chunk.values.items():
            self._spare[name].append(values.stored)

    def _groups(self) -> list[list[int]]:
        """Return the blocks of this epoch and rank, as many together as are mixed."""
        options = self._options
        blocks = np.arange(-(-self.rows // self._block), dtype=np.int64)
        if options.shuffle:
            np.random.default_rng([options.seed, self.epoch]).shuffle(blocks)
        own: list[int] = blocks[options.rank :: options.world_size].tolist()
        return [own[i : i + self._together] for i in range(0, len(own), self._together)]

    def _kept(self, blocks: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the kept rows of blocks: where they are among all of theirs, and their numbers."""
        chosen = [self._chosen(*self._range(block)) for block in blocks]
        numbers = [np.arange(*self._range(block), dtype=np.int64) for block in blocks]
        kept = np.flatnonzero(np.concatenate(chosen))
        return kept, np.concatenate(numbers)[kept]

    def _chosen(self, start: int, end: int) -> NDArray[np.bool_]:
        keep = self._options.keep
        chosen = np.ones(end - start, np.bool_)
        if keep.without_tokens:
            ids = self._store.input_ids_between(start, end)
            chosen &= ~np.isin(ids, list(keep.without_tokens))
        least, beyond = keep.positions
        if keep.positions != (0, None):
            at = self._positions(np.arange(start, end, dtype=np.int64))
            chosen &= at >= least
            if beyond is not None:
                chosen &= at < beyond
        if keep.most_norm is not None:
            norms = next(iter(self._columns.values())).norms_between(start, end)
            chosen &= norms <= keep.most_norm
        return chosen

    def _range(self, block: int) -> tuple[int, int]:
        return block * self._block, min(self.rows, (block + 1) * self._block)

    def _positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        offsets = self._store.offsets
        found: NDArray[np.int64] = rows - offsets[np.searchsorted(offsets, rows, "right") - 1]
        return found

    def _read(
        self,
        readers: ThreadPoolExecutor,
        blocks: Sequence[int],
        where: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> _Chunk:
        """Begin to read blocks, of which ``rows`` are taken, from ``where`` among all of theirs."""
        ranges = [self._range(block) for block in blocks]
        total = sum(end - start for start, end in ranges)
        values: dict[str, _Values] = {}
        coming: list[Future[None]] = []
        for name, column in self._columns.items():
            stored = self._room(name, total)
            at = 0
            for start, end in ranges:
                out = stored[at : at + end - start]
                coming.append(readers.submit(column.raw.read_into, start, out))
                at += end - start
            parts = [column.scales_between(*each) for each in ranges]
            scales = [part for part in parts if part is not None]
            values[name] = _Values(stored, np.concatenate(scales) if scales else None)
        ids = np.concatenate([self._store.input_ids_between(*each) for each in ranges])
        return _Chunk(where, rows, ids, self._positions(rows), values, coming)


@dataclass(frozen=True)
class _Values:
    """A column's rows as they lie on the disk, and what int8 is times."""

    stored: NDArray[Any]
    scales: NDArray[np.float32] | None

    def take(self, where: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows at ``where`` as the column reads, as copies."""
        rows = self.stored[where]
        return rows if self.scales is None else decode(rows, self.scales[where])


@dataclass(frozen=True)
class _Chunk:
    """Rows in mixed order, whose values are being read."""

    where: NDArray[np.int64]
    rows: NDArray[np.int64]
    ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    values: dict[str, _Values]
    coming: list[Future[None]]

    def __len__(self) -> int:
        return len(self.rows)

    def ready(self) -> _Chunk:
        """Wait until everything is read; raises what reading raised."""
        for each in self.coming:
            each.result()
        return self

    def take(self, start: int, end: int) -> Batch:
        """Return the rows from ``start`` to ``end``, as copies."""
        where = self.where[start:end]
        return Batch(
            self.rows[start:end],
            self.ids[where],
            self.positions[start:end],
            {name: values.take(where) for name, values in self.values.items()},
        )


def _joined(first: Batch, second: Batch) -> Batch:
    return Batch(
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.input_ids, second.input_ids]),
        np.concatenate([first.positions, second.positions]),
        {
            name: np.concatenate([values, second.columns[name]])
            for name, values in first.columns.items()
        },
    )
