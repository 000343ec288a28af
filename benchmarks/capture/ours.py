"""Our side: the whole system, the engine alone, a bare forward pass, and matrix products."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks._harness import Job

from .data import CAPTURED, LAYERS, MODEL, POINTS, THREADS, WIDTH, load

PRODUCTS, ROWS, INNER = 40, 1024, 4 * WIDTH
PRODUCT_OPERATIONS = 2.0 * PRODUCTS * ROWS * WIDTH * INNER
"""Of one run of :func:`products`."""


def system(home: Path, name: str) -> Job:
    """Return a job that asks the running system and waits until the manifest is committed.

    The model is loaded; what was captured before is deleted between runs.
    """
    from mistudio_client.embedded import EmbeddedStack
    from mistudio_testkit.site import Site

    env = {"TORCH_NUM_THREADS": str(THREADS)}
    stack = EmbeddedStack(home / f"stack-{name}", allow=[home], env=env).start(timeout=300)
    site = Site(stack.url, stack.token)
    model = site.ready_model(home / MODEL, quantization="none")
    dataset = site.upload(home / name / "samples.jsonl")
    body = {
        "dataset_id": dataset["id"],
        "layer_indices": list(CAPTURED),
        "dtype": "float32",
        "tokenization": {"column": "input_ids"},
    }

    def job() -> Callable[[], None]:
        done = site.extract(model["id"], timeout=600, **body)
        assert done["status"] == "completed", done
        assert not done.get("cached"), "a run must compute"
        (home / name / "system-store").write_text(done["storage_path"], encoding="utf-8")
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
    """Return a job that captures into ``home/<set>/engine``, synced and committed."""
    import torch

    import mistudio_activations as ma
    from mistudio_capture import CaptureModel, capture_shard, give_back_at_once

    give_back_at_once()
    torch.set_num_threads(THREADS)
    ids, offsets = load(home, name)
    model, budget = CaptureModel.load(home / MODEL), _budget(home)
    store = home / name / "engine"

    def job() -> None:
        shutil.rmtree(store, ignore_errors=True)
        with ExitStack() as stack:
            writers = {
                point: stack.enter_context(
                    ma.ShardWriter(store, point, 0, ids.size, WIDTH, "float32")
                )
                for point in POINTS
            }
            capture_shard(
                model,
                ids,
                offsets,
                POINTS,
                lambda point, row, rows: writers[point].write(row, rows),
                token_budget=budget,
                dtype=torch.float32,
            )
            columns = {point: [writer.close()] for point, writer in writers.items()}
        tokens = ma.write_tokens(store, 0, ids, offsets, np.arange(len(offsets) - 1))
        ma.commit(store, columns=columns, token_shards=[tokens], info={})

    return job


def bare(home: Path, name: str) -> Job:
    """Return a job that runs the same batches to the same depth, and keeps nothing."""
    import torch

    from mistudio_capture import CaptureModel, give_back_at_once, iter_batches

    give_back_at_once()
    torch.set_num_threads(THREADS)
    ids, offsets = load(home, name)
    model, budget = CaptureModel.load(home / MODEL), _budget(home)
    rows = torch.from_numpy(ids.astype(np.int64))
    lengths = np.diff(offsets).tolist()

    def job() -> None:
        for start, end in iter_batches(lengths, budget):
            bounds = (offsets[start : end + 1] - offsets[start]).tolist()
            pack = rows[offsets[start] : offsets[end]]
            model.run(pack, bounds, [POINTS[-1]], lambda _point, _rows: None)

    return job


def products(_home: Path, _name: str) -> Job:
    """Return a job of the largest matrix products of the model, and nothing else."""
    import torch

    torch.set_num_threads(THREADS)
    left, right = torch.randn(ROWS, WIDTH), torch.randn(WIDTH, INNER)
    out = torch.empty(ROWS, INNER)

    def job() -> None:
        for _ in range(PRODUCTS):
            torch.mm(left, right, out=out)

    return job


def _budget(home: Path) -> int:
    from mistudio_footprint import DecoderShape, token_budget

    shape = DecoderShape.from_config(json.loads((home / MODEL / "config.json").read_bytes()))
    assert shape.layers == LAYERS
    return token_budget(shape, 1 << 32, "cpu", captured=len(POINTS) * WIDTH)
