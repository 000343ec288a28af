"""Columns as SAELens caches activations: a Hugging Face dataset of windows of one length.

The layout is that of SAELens's ``CacheActivationsRunner`` (release 6), which its
``ActivationsStore`` reads from ``cached_activations_path``: a feature named by the hook point as
TransformerLens calls it, ``[context_size, width]`` a row, and ``token_ids`` beside it.

Samples are ragged and windows are not. ``concatenated`` puts the samples end to end and cuts that:
a window may hold the end of one sample and the beginning of the next, whose rows know nothing of
each other all the same, and at most the last window's worth of rows is left out. ``whole`` takes
windows that lie within one sample, and leaves out what remains of each.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ActivationsError
from .reader import ActivationStore, Column

SHARD_BYTES = 256 << 20
"""Of a file, about; SAELens warns of files beyond 2 GB."""

_KINDS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "mlp_act": "mlp.hook_post",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "z": "attn.hook_z",
}
_OUTSIDE = {"embed": "hook_embed", "final_norm": "ln_final.hook_normalized"}


class Windows(str, Enum):
    """How samples become windows."""

    CONCATENATED = "concatenated"
    WHOLE = "whole"


@dataclass(frozen=True)
class Exported:
    """What was written: ``windows`` of ``hook_name``, and the ``rows_left_out``."""

    path: Path
    hook_name: str
    windows: int
    rows_left_out: int


def hook_name_of(column: str) -> str:
    """Return what TransformerLens calls a hook point; any other name stays what it is."""
    layer, _, kind = column.removeprefix("layers.").partition(".")
    if column.startswith("layers.") and kind in _KINDS:
        return f"blocks.{layer}.{_KINDS[kind]}"
    return _OUTSIDE.get(column, column)


def export_saelens(
    store: ActivationStore,
    column: str,
    path: str | Path,
    *,
    context_size: int,
    windows: Windows = Windows.CONCATENATED,
) -> Exported:
    """Write a column as a dataset that SAELens trains on, a file at a time.

    Values are float16 for a float16 column, else float32: Arrow has no bfloat16, and int8 is
    written as it reads. They are those of the model itself, which TransformerLens's are only where
    it loads weights unprocessed.

    Parameters
    ----------
    store
        The store.
    column
        Such as ``layers.6.resid_post``.
    path
        The directory to make. It must not exist, or be empty.
    context_size
        Tokens of a window; SAELens's own ``context_size`` must be the same.
    windows
        How ragged samples become windows.

    Returns
    -------
    Exported
        What was written.

    Raises
    ------
    ActivationsError
        When ``path`` is taken, or no window is to be had.
    ColumnNotFound
        Naming the columns there are.
    """
    source, target = store[column], Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ActivationsError(f"{target} is there already")
    if context_size < 1:
        raise ActivationsError("context_size must be at least 1")
    starts = _starts(store, source, context_size, Windows(windows))
    if not starts.size:
        raise ActivationsError(f"no sample gives a window of {context_size} tokens")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    name = hook_name_of(column)
    try:
        _write(store, source, name, staging, starts, context_size)
        if target.is_dir():
            target.rmdir()
        staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return Exported(target, name, starts.size, len(source) - starts.size * context_size)


def _starts(
    store: ActivationStore, source: Column, context_size: int, windows: Windows
) -> NDArray[np.int64]:
    """Return the first row of each window."""
    if windows is Windows.CONCATENATED:
        return np.arange(len(source) // context_size, dtype=np.int64) * context_size
    offsets = store.offsets
    offsets = offsets[: np.searchsorted(offsets, len(source)) + 1]
    counts = np.diff(offsets) // context_size
    first = np.repeat(offsets[:-1], counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    found: NDArray[np.int64] = first + within * context_size
    return found


def _write(
    store: ActivationStore,
    source: Column,
    name: str,
    target: Path,
    starts: NDArray[np.int64],
    context_size: int,
) -> None:
    from datasets import Array2D, DatasetInfo, Features, Sequence, Value
    from datasets.arrow_writer import ArrowWriter

    dtype = source.dtype if source.dtype == np.float16 else np.dtype(np.float32)
    width = source.shape[1]
    features = Features(
        {
            name: Array2D(shape=(context_size, width), dtype=str(dtype)),
            "token_ids": Sequence(Value(dtype="int32"), length=context_size),
        }
    )
    each = max(1, SHARD_BYTES // (context_size * width * dtype.itemsize))
    files = -(-starts.size // each)
    names = [f"data-{index:05d}-of-{files:05d}.arrow" for index in range(files)]
    for index, file in enumerate(names):
        with ArrowWriter(features=features, path=str(target / file)) as writer:
            for chosen in _batches(starts[index * each : (index + 1) * each], context_size):
                rows = (chosen[:, None] + np.arange(context_size)).ravel()
                values = source[rows].astype(dtype, copy=False)
                writer.write_batch(
                    {
                        name: values.reshape(-1, context_size, width),
                        "token_ids": store.input_ids[rows].reshape(-1, context_size),
                    }
                )
            writer.finalize()
    DatasetInfo(features=features).write_to_directory(str(target))
    state: dict[str, Any] = {
        "_data_files": [{"filename": file} for file in names],
        "_fingerprint": _fingerprint(store, source, context_size, starts),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    (target / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
    config = _config(store, name, width, context_size, int(starts.size), dtype)
    (target / "cache_activations_runner_cfg.json").write_text(
        json.dumps(config, indent=2), encoding="utf-8"
    )


def _batches(starts: NDArray[np.int64], context_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield some windows at a time, of about 8,192 rows together."""
    step = max(1, 8192 // context_size)
    for start in range(0, starts.size, step):
        yield starts[start : start + step]


def _fingerprint(
    store: ActivationStore, source: Column, context_size: int, starts: NDArray[np.int64]
) -> str:
    import hashlib

    digest = hashlib.sha256(starts.tobytes())
    told = [shard.sha256 for shard in (*store.manifest.tokens, *source.shards)]
    digest.update(json.dumps([source.name, context_size, told]).encode())
    return digest.hexdigest()[:16]


def _config(
    store: ActivationStore,
    name: str,
    width: int,
    context_size: int,
    windows: int,
    dtype: np.dtype[Any],
) -> dict[str, Any]:
    """Return what ``CacheActivationsRunner`` would have been told to make this."""
    model, dataset = store.manifest.info.model, store.manifest.info.dataset
    return {
        "dataset_path": (dataset.fingerprint if dataset else None) or "unknown",
        "model_name": ((model.identifier or model.fingerprint) if model else None) or "unknown",
        "model_batch_size": 1,
        "hook_name": name,
        "d_in": width,
        "training_tokens": windows * context_size,
        "context_size": context_size,
        "shuffle": False,
        "dtype": str(dtype),
        "device": "cpu",
        "prepend_bos": False,
        "streaming": False,
    }
