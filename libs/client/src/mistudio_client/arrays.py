"""Columns of a store as plain arrays, a piece at a time: a layer may be larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from mistudio_contracts.views import Cache

_PIECE_BYTES = 64 << 20


class Column(Protocol):
    """A lazy ``[tokens, width]``."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


class Store(Protocol):
    """What is read of an activation store."""

    @property
    def input_ids(self) -> NDArray[Any]: ...

    @property
    def offsets(self) -> NDArray[Any]: ...

    def __getitem__(self, hook_point: str, /) -> Column: ...


def write_arrays(store: Store, cache: Cache, directory: Path, *, torch: bool) -> None:
    """Write the columns and tokens of ``cache`` into ``directory``.

    Parameters
    ----------
    store
        Holds at least the cache's columns and tokens; more of both are left out.
    cache
        Says which hook points, and how many tokens and samples.
    directory
        Exists and is empty.
    torch
        Write ``.pt`` in the stored dtype, else ``.npy`` with bfloat16 as float32.
    """
    for hook_point in cache.hook_points:
        _write(directory / hook_point, store[hook_point], cache.token_count, torch=torch)
    _write(directory / "input_ids", store.input_ids, cache.token_count, torch=torch)
    _write(directory / "offsets", store.offsets, cache.sample_count + 1, torch=torch)


def _write(path: Path, source: Column, rows: int, *, torch: bool) -> None:
    shape = (rows, *source.shape[1:])
    first = source[0:1]
    brain = first.dtype.name == "bfloat16"
    # As bits, since numpy's own files know no bfloat16; torch reads the bits as what they are.
    kept = (
        np.dtype(np.uint16) if brain and torch else np.dtype(np.float32) if brain else first.dtype
    )
    npy = path.with_name(f"{path.name}.npy")
    target = open_memmap(npy, mode="w+", dtype=kept, shape=shape)
    step = max(1, _PIECE_BYTES // max(1, first.nbytes))
    for begin in range(0, rows, step):
        piece = np.ascontiguousarray(source[begin : min(begin + step, rows)])
        target[begin : begin + len(piece)] = piece.view(np.uint16) if brain and torch else piece
    target.flush()
    if torch:
        _save_tensor(path.with_name(f"{path.name}.pt"), target, brain=brain)
        del target
        npy.unlink()


def _save_tensor(path: Path, values: NDArray[Any], *, brain: bool) -> None:
    import torch

    tensor = torch.from_numpy(values)
    torch.save(tensor.view(torch.bfloat16) if brain else tensor, path)
