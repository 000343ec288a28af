"""Shard files: written in pieces under a temporary name, synced, then given their name."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ActivationsError, StoreCorrupt, storage_errors
from .places import Where, place_of
from .rawfile import STORE_DTYPES, pack, parse_specs, plan
from .scaled import ScaledRows, scale_rows
from .statistics import Partial, written

TOKENS = "tokens"
"""The directory of the token shards; a column's directory is its name."""

READ_BACK = 1 << 22

_COLUMN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class ShardFile:
    """A written shard. ``path`` is relative to the store."""

    path: str
    bytes: int
    sha256: str
    tokens: int


def check_column(name: str) -> None:
    """Refuse a name that is no directory of its own within the store.

    Raises
    ------
    ActivationsError
        When it holds anything but letters, digits, dots, hyphens and underscores, begins with a
        dot, or is that of the token shards.
    """
    if not _COLUMN.fullmatch(name) or name == TOKENS:
        raise ActivationsError(f"{name!r} cannot name a column")


def shard_name(index: int) -> str:
    """Return the file name of a shard: the same work done again writes the same file."""
    return f"{index:05d}.safetensors"


class ShardWriter:
    """Writes one shard of one column, holding one batch of rows in memory.

    As a context manager it aborts on an exception and, if not closed, at the end.

    Parameters
    ----------
    store
        Where it lies; made if need be.
    column
        Such as ``layers.6.resid_post``.
    index
        Of the shard.
    tokens, width
        Shape of the shard.
    dtype
        ``float32``, ``float16`` or ``bfloat16``; or ``int8``, with a scale beside each row.
    """

    def __init__(
        self, store: Where, column: str, index: int, tokens: int, width: int, dtype: str
    ) -> None:
        check_column(column)
        self._tokens, self._width = tokens, width
        self._dtype = STORE_DTYPES[dtype]
        self._place, self._path = place_of(store), f"{column}/{shard_name(index)}"
        self._norms = np.zeros(tokens, np.float32)
        self._scales = np.zeros(tokens, np.float32) if dtype == "int8" else None
        self._partial = Partial(tokens, width, dtype)
        self._written = 0
        head, self._size, specs = plan(_layout(tokens, width, self._dtype))
        self._start = specs["activations"].start
        self._padding = specs["align"].nbytes if "align" in specs else 0
        self._next: int | None = 0
        self._digest = hashlib.sha256(head)
        with storage_errors():
            self._staged = self._place.stage(self._path)
            try:
                self._pwrite(head, 0)
            except BaseException:
                self.abort()
                raise

    def write(self, start_row: int, rows: Any) -> None:
        """Write ``[n, width]`` rows of the shard's dtype at ``start_row``.

        Parameters
        ----------
        start_row
            Rows in order cost least: they are hashed as they pass.
        rows
            numpy array or CPU torch tensor. An int8 shard takes :class:`~.scaled.ScaledRows`, or
            floats, which it then scales.

        Raises
        ------
        ActivationsError
            When shape or dtype are not the shard's.
        StorageFull
            When there is no room; abort then.
        """
        scaled = self._scaled(rows)
        array = as_numpy(rows) if scaled is None else scaled.codes
        if array.ndim != 2 or array.shape[1] != self._width or array.dtype != self._dtype:
            raise ActivationsError(
                f"rows are {array.dtype} {array.shape}, the shard takes "
                f"{self._dtype} [n, {self._width}]"
            )
        end = start_row + array.shape[0]
        if start_row < 0 or end > self._tokens:
            raise ActivationsError(f"rows {start_row} to {end} lie outside the shard")
        content = np.ascontiguousarray(array).view(np.uint8).reshape(-1).data
        with storage_errors():
            self._pwrite(content, self._start + start_row * self._width * self._dtype.itemsize)
        if scaled is None or self._scales is None:
            self._norms[start_row:end] = self._partial.add(array)
        else:
            self._norms[start_row:end] = scaled.norms
            self._scales[start_row:end] = scaled.scales
            self._partial.add_scaled(start_row, scaled)
        self._written += array.shape[0]
        if self._next == start_row:
            self._digest.update(content)
            self._next = end
        else:
            self._next = None

    def _scaled(self, rows: Any) -> ScaledRows | None:
        if self._scales is None:
            if isinstance(rows, ScaledRows):
                raise ActivationsError(f"a shard of {self._dtype} takes no rows of int8")
            return None
        if not isinstance(rows, ScaledRows):
            return scale_rows(as_numpy(rows))
        parts = (rows.codes, rows.scales, rows.norms, rows.squares)
        return ScaledRows(*(as_numpy(part) for part in parts))

    def close(self) -> ShardFile:
        """Sync the shard and give it its name.

        Raises
        ------
        ActivationsError
            When rows are missing.
        StorageFull
            When there is no room.
        """
        if self._written != self._tokens:
            raise ActivationsError(f"{self._written} of {self._tokens} rows were written")
        with storage_errors():
            try:
                scales = b"" if self._scales is None else self._scales.tobytes()
                tail = bytes(self._padding) + scales + self._norms.tobytes()
                self._pwrite(tail, self._size - len(tail))
                self._digest.update(tail)
                digest = self._digest.hexdigest() if self._next is not None else self._read_back()
                # Before the shard itself: whoever finds the shard finds its statistics.
                self._partial.save(self._place, self._path, self._size, digest)
                self._staged.publish()
            except BaseException:
                self.abort()
                raise
        return ShardFile(self._path, self._size, digest, self._tokens)

    def abort(self) -> None:
        """Take the temporary file away. Harmless after :meth:`close`."""
        self._staged.discard()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()

    def _pwrite(self, content: bytes | memoryview, offset: int) -> None:
        view = memoryview(content)
        while view:
            done = os.pwrite(self._staged.fd, view, offset)
            view, offset = view[done:], offset + done

    def _read_back(self) -> str:
        digest = hashlib.sha256()
        for offset in range(0, self._size, READ_BACK):
            digest.update(os.pread(self._staged.fd, READ_BACK, offset))
        return digest.hexdigest()


def _layout(
    tokens: int, width: int, dtype: np.dtype[Any]
) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    floats = (np.dtype(np.float32), (tokens,))
    if dtype != STORE_DTYPES["int8"]:
        return {"activations": (dtype, (tokens, width)), "norms": floats}
    # Other readers of the format map floats where they lie, which must be at a multiple of four.
    padding = -(tokens * width) % floats[0].itemsize
    align = {"align": (np.dtype(np.uint8), (padding,))} if padding else {}
    return {"activations": (dtype, (tokens, width)), **align, "scales": floats, "norms": floats}


def shard_file(store: Where, column: str, index: int, tokens: int) -> ShardFile:
    """Return a column's shard as it was written, whoever did that.

    Raises
    ------
    StoreCorrupt
        When it was not.
    """
    path = f"{column}/{shard_name(index)}"
    size, sha256 = written(place_of(store), path)
    return ShardFile(path, size, sha256, tokens)


def token_file(store: Where, index: int) -> ShardFile:
    """Return a token shard as it lies there; its checksum is taken anew.

    Raises
    ------
    StoreCorrupt
        When there is none.
    """
    path = f"{TOKENS}/{shard_name(index)}"
    try:
        content = place_of(store).read(path)
    except FileNotFoundError as error:
        raise StoreCorrupt(f"{path} is missing") from error
    tokens = int(parse_specs(path, content, len(content))["input_ids"].shape[0])
    return ShardFile(path, len(content), hashlib.sha256(content).hexdigest(), tokens)


def write_tokens(
    store: Where,
    index: int,
    input_ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    sample_ids: NDArray[np.int64],
    starts: NDArray[np.int64] | None = None,
) -> ShardFile:
    """Write a token shard.

    Parameters
    ----------
    store
        Where it lies; made if need be.
    index
        Of the shard.
    input_ids
        int32 ``[tokens]``, the samples end to end.
    offsets
        int64 ``[samples + 1]``, where each sample begins within the shard.
    sample_ids
        int64 ``[samples]``, the dataset row of each.
    starts
        int64 ``[samples]``, where in its row each begins; None where every one begins at 0.

    Raises
    ------
    ActivationsError
        When the arrays do not fit together.
    StorageFull
        When there is no room.
    """
    if offsets[0] != 0 or offsets[-1] != input_ids.size or sample_ids.size != offsets.size - 1:
        raise ActivationsError("offsets, input_ids and sample_ids do not fit together")
    tensors: dict[str, NDArray[Any]] = {
        "input_ids": input_ids.astype(np.int32, copy=False),
        "offsets": offsets.astype(np.int64, copy=False),
        "sample_ids": sample_ids.astype(np.int64, copy=False),
    }
    if starts is not None:
        if starts.size != sample_ids.size:
            raise ActivationsError("there must be one start a sample")
        tensors["starts"] = starts.astype(np.int64, copy=False)
    content = pack(tensors)
    path = f"{TOKENS}/{shard_name(index)}"
    with storage_errors():
        place_of(store).write(path, content)
    return ShardFile(path, len(content), hashlib.sha256(content).hexdigest(), input_ids.size)


def as_numpy(rows: Any) -> NDArray[Any]:
    """Return a numpy view of an array or of a CPU torch tensor, bfloat16 included."""
    if isinstance(rows, np.ndarray):
        return rows
    if str(rows.dtype) == "torch.bfloat16":
        import torch

        viewed: NDArray[Any] = rows.contiguous().view(torch.int16).numpy()
        return viewed.view(STORE_DTYPES["bfloat16"])
    found: NDArray[Any] = rows.numpy()
    return found
