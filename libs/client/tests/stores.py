"""A real activation store: two shards, twelve samples, forty tokens, four layers of width eight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mistudio_activations import ShardWriter, commit, write_tokens

LENGTHS = ((1, 2, 3, 4, 5, 5), (3, 3, 3, 3, 4, 4))
"""Tokens of each sample of each shard."""


def values(layer: int) -> NDArray[np.float32]:
    """Return what layer ``layer`` holds, float32 ``[40, 8]``."""
    return np.arange(320, dtype=np.float32).reshape(40, 8) + layer / 2


def write_store(root: Path) -> Path:
    """Write the store and return its directory."""
    token_shards = []
    columns = {f"layers.{layer}.resid_post": layer for layer in range(4)}
    shards = {name: [] for name in columns}  # type: ignore[var-annotated]
    first_token = first_sample = 0
    for index, lengths in enumerate(LENGTHS):
        tokens = sum(lengths)
        token_shards.append(
            write_tokens(
                root,
                index,
                np.arange(first_token, first_token + tokens, dtype=np.int32),
                np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
                np.arange(first_sample, first_sample + len(lengths), dtype=np.int64),
            )
        )
        for name, layer in columns.items():
            with ShardWriter(root, name, index, tokens, 8, "float32") as writer:
                writer.write(0, values(layer)[first_token : first_token + tokens])
                shards[name].append(writer.close())
        first_token += tokens
        first_sample += len(lengths)
    commit(root, columns=shards, token_shards=token_shards, info={"model": "tests"})
    return root
