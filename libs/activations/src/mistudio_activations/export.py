"""Columns in other programs' formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .reader import ActivationStore

ROWS = 8192
"""Rows copied at a time."""


def export_npy(store: ActivationStore, column: str, path: str | Path) -> Path:
    """Write a column as ``.npy``, ``[tokens, width]``, a piece at a time.

    numpy has no bfloat16: such a column is written as float32, which holds it exactly. So is int8,
    as it reads.

    Raises
    ------
    ColumnNotFound
        Naming the columns there are.
    """
    source, target = store[column], Path(path)
    dtype = source.dtype if source.dtype.kind == "f" else np.dtype(np.float32)
    out = np.lib.format.open_memmap(target, mode="w+", dtype=dtype, shape=source.shape)
    for start in range(0, len(source), ROWS):
        out[start : start + ROWS] = source[start : start + ROWS].astype(dtype)
    out.flush()
    return target


def export_pt(store: ActivationStore, column: str, path: str | Path) -> Path:
    """Write a column as ``.pt``, a torch tensor ``[tokens, width]`` of its dtype, float32 for int8.

    The whole column passes through memory.

    Raises
    ------
    ColumnNotFound
        Naming the columns there are.
    """
    import torch

    torch.save(store[column].to_torch(), path)
    return Path(path)
