"""SAELens's way of reading cached activations. Runs in ``.venv-peers``, imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .data import BATCH, COLUMN, CONTEXT, ROWS, SHARD_ROWS, WIDTH, rows_of

PROMPTS = 16
"""Rows of the dataset read at a time."""

MIXED = 341
"""Samples in its mixing buffer: as many rows as ours mixes, 256 MiB of them."""

USUAL = 20
"""Its own default: 5,120 rows, a batch and a quarter."""


def sae_lens(home: Path) -> Any:
    """Return a job of one epoch's rows from its store, mixed as widely as ours."""
    return _sae_lens(home, "cached", MIXED)


def sae_lens_usual(home: Path) -> Any:
    """Return the same job with the mixing buffer that it has by default."""
    return _sae_lens(home, "cached-usual", USUAL)


def _sae_lens(home: Path, directory: str, mixed: int) -> Any:
    import torch
    from sae_lens.training.activations_store import ActivationsStore
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    _write(home / directory)
    # It reads nothing of the model but where it lies.
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=1, d_model=8, n_ctx=8, d_head=8, d_vocab=8, act_fn="relu", device="cpu"
        )
    )
    store = ActivationsStore(
        model=model,
        dataset=None,
        streaming=False,
        hook_name=COLUMN,
        hook_head_index=None,
        context_size=CONTEXT,
        d_in=WIDTH,
        n_batches_in_buffer=mixed,
        total_training_tokens=ROWS,
        store_batch_size_prompts=PROMPTS,
        train_batch_size_tokens=BATCH,
        prepend_bos=False,
        normalize_activations="none",
        device=torch.device("cpu"),
        dtype="float32",
        cached_activations_path=str(home / directory),
    )

    def job() -> None:
        for _ in range(ROWS // BATCH):
            assert store.next_batch().shape == (BATCH, WIDTH)

    return job


def _write(target: Path) -> None:
    """Write the rows as ``CacheActivationsRunner`` does."""
    from datasets import Array2D, Dataset, Features, Sequence, Value

    def rows() -> Iterator[dict[str, Any]]:
        for shard in range(ROWS // SHARD_ROWS):
            for row in rows_of(shard).reshape(-1, CONTEXT, WIDTH):
                yield {COLUMN: row, "token_ids": [0] * CONTEXT}

    features = Features(
        {
            COLUMN: Array2D(shape=(CONTEXT, WIDTH), dtype="float32"),
            "token_ids": Sequence(Value("int32"), length=CONTEXT),
        }
    )
    cache = str(target.with_name(f"{target.name}-generated"))
    made = Dataset.from_generator(rows, features=features, cache_dir=cache)
    made.save_to_disk(target)
