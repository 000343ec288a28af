"""Our side: the whole system, the engine alone, a bare forward pass, and matrix products."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import Job
from mistudio_footprint import DecoderShape, token_budget

from .data import MODEL, Setting, load

if TYPE_CHECKING:
    import mistudio_activations as ma
    from mistudio_capture import CaptureModel

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""As the extractor sets it, before torch is imported."""

PRODUCTS = {"cpu": (40, 1024), "cuda": (200, 16_384)}
"""How many products of how many rows say what a device can do."""


def system(home: Path, name: str) -> Job:
    """Return a job that asks the running system and waits until the manifest is committed.

    The model is loaded; what was captured before is deleted between runs.
    """
    from mistudio_client.embedded import EmbeddedStack
    from mistudio_testkit.site import Site

    setting = Setting.of(home)
    env = {"TORCH_NUM_THREADS": str(setting.threads), "MISTUDIO_DEVICE": setting.device}
    stack = EmbeddedStack(home / f"stack-{name}", allow=[home], env=env).start(timeout=300)
    site = Site(stack.url, stack.token)
    model = site.ready_model(home / MODEL, quantization="none")
    dataset = site.upload(home / name / "samples.jsonl")
    body = {
        "dataset_id": dataset["id"],
        "layer_indices": list(setting.captured),
        "dtype": setting.dtype,
        "tokenization": {"column": "input_ids"},
    }

    def job() -> Callable[[], None]:
        done = site.extract(model["id"], timeout=600, **body)
        assert done["status"] == "completed", done
        assert not done.get("cached"), "a run must compute"
        keep = home / name / "system"

        def tidy() -> None:
            shutil.rmtree(keep, ignore_errors=True)
            shutil.copytree(done["storage_path"], keep)
            with site.frames() as frames:
                site.ask("DELETE", f"/activations/{done['cache_id']}", 204)
                frames.until("cache:evicted")

        return tidy

    return job


def engine(home: Path, name: str) -> Job:
    """Return a job that captures into ``home/<set>/engine`` by shards, synced and committed."""
    setting, model, budget = _loaded(home)
    import torch

    import mistudio_activations as ma
    from mistudio_capture import capture_shard

    ids, offsets = load(home, name)
    store, dtype = home / name / "engine", getattr(torch, setting.dtype)

    def shard(index: int, first: int, last: int) -> tuple[ma.ShardFile, dict[str, ma.ShardFile]]:
        own = ids[offsets[first] : offsets[last]]
        bounds = offsets[first : last + 1] - offsets[first]
        with ExitStack() as stack:
            writers = {
                point: stack.enter_context(
                    ma.ShardWriter(store, point, index, own.size, setting.width, setting.dtype)
                )
                for point in setting.points
            }
            capture_shard(
                model,
                own,
                bounds,
                setting.points,
                lambda point, row, rows: writers[point].write(row, rows),
                token_budget=budget,
                dtype=dtype,
            )
            columns = {point: writer.close() for point, writer in writers.items()}
        return ma.write_tokens(store, index, own, bounds, np.arange(first, last)), columns

    def job() -> None:
        shutil.rmtree(store, ignore_errors=True)
        done = [shard(i, *each) for i, each in enumerate(_shards(offsets, setting.shard_tokens))]
        columns = {point: [files[point] for _, files in done] for point in setting.points}
        ma.commit(store, columns=columns, token_shards=[tokens for tokens, _ in done], info={})

    return job


def bare(home: Path, name: str) -> Job:
    """Return a job that runs the same batches to the same depth, and keeps nothing."""
    setting, model, budget = _loaded(home)
    import torch

    from mistudio_capture import iter_batches

    ids, offsets = load(home, name)
    rows = torch.from_numpy(ids.astype(np.int64))

    def job() -> None:
        for first, last in _shards(offsets, setting.shard_tokens):
            lengths = np.diff(offsets[first : last + 1]).tolist()
            for start, end in iter_batches(lengths, budget):
                own = offsets[first + start : first + end + 1]
                pack = rows[own[0] : own[-1]].to(model.device)
                bounds = (own - own[0]).tolist()
                model.run(pack, bounds, [setting.points[-1]], lambda _point, _rows: None)
        _synchronise(setting.device)

    return job


def _loaded(home: Path) -> tuple[Setting, CaptureModel, int]:
    """Return the setting, its model in memory as the extractor has it, and a batch's tokens."""
    os.environ[HUGE_PAGES] = "1"
    import torch

    from mistudio_capture import CaptureModel, give_back_at_once

    give_back_at_once()
    setting = Setting.of(home)
    torch.set_num_threads(setting.threads)
    return setting, CaptureModel.load(home / MODEL, setting.device), _budget(home, setting)


def products(home: Path, _name: str) -> Job:
    """Return a job of matrix products as large as a block's largest, and nothing else."""
    import torch

    setting = Setting.of(home)
    torch.set_num_threads(setting.threads)
    count, rows = PRODUCTS[setting.device]
    how = {"dtype": getattr(torch, setting.dtype), "device": setting.device}
    left = torch.randn(rows, setting.width, **how)
    right = torch.randn(setting.width, 4 * setting.width, **how)
    out = torch.empty(rows, 4 * setting.width, **how)

    def job() -> None:
        for _ in range(count):
            torch.mm(left, right, out=out)
        _synchronise(setting.device)

    return job


def product_operations(setting: Setting) -> float:
    """Return the additions and multiplications of one run of :func:`products`."""
    count, rows = PRODUCTS[setting.device]
    return 2.0 * count * rows * setting.width * 4 * setting.width


def forward_operations(home: Path, name: str) -> float:
    """Return the additions and multiplications of a pass over a set, head and norms left out.

    Two for each weight of a block's matrices and token, and four for each element of the queries
    and pair of tokens of which one sees the other: the scores, and what they weigh.
    """
    shape = _shape(home)
    lengths = np.diff(load(home, name)[1]).astype(np.float64)
    linear = 2 * sum(matrix.elements for matrix in shape.layout.matrices) * lengths.sum()
    attention = 4 * shape.heads * shape.head_dim * (lengths * (lengths + 1) / 2).sum()
    return float(shape.layers * (linear + attention))


def _shards(offsets: NDArray[np.int64], shard_tokens: int) -> list[tuple[int, int]]:
    """Return first and last sample of each shard, about as the system cuts them."""
    found, first = [], 0
    for index in range(1, len(offsets)):
        full = index == len(offsets) - 1 or offsets[index + 1] - offsets[first] > shard_tokens
        if full:
            found.append((first, index))
            first = index
    return found


def _shape(home: Path) -> DecoderShape:
    return DecoderShape.from_config(json.loads((home / MODEL / "config.json").read_bytes()))


def _budget(home: Path, setting: Setting) -> int:
    size = 4 if setting.dtype == "float32" else 2
    return token_budget(
        _shape(home),
        1 << 32,
        setting.device,
        captured=len(setting.points) * setting.width,
        compute_bytes=size,
        store_bytes=size,
    )


def _synchronise(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
