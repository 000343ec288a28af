"""The rows that both sides read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLUMN = "layers.6.resid_post"
WIDTH, CONTEXT = 768, 256
ROWS, SHARD_ROWS, BATCH = 262_144, 65_536, 4096


def rows_of(shard: int) -> NDArray[np.float32]:
    """Return a shard's rows, float32 ``[SHARD_ROWS, WIDTH]``, always the same."""
    return np.random.default_rng(shard).standard_normal((SHARD_ROWS, WIDTH), np.float32)
