"""Capture against plain transformers with hooks: ``make bench NAME=capture``.

GPT-2's small shape with random weights, 96 ragged samples, layers 0, 6 and 11, float32, CPU. Both
sides get the same samples in the same order and leave the same rows on disk; that is checked. Each
side has a process of its own, and they run in turns, so both see the same machine.

- *mistudio*: ``capture_shard`` into a store, synced to disk, committed.
- *transformers_hooks*: ``AutoModelForCausalLM``, hooks on the blocks, batches of 32 in order of
  arrival, padded on the right with a mask, no key-value cache; the rows of real tokens are
  gathered and saved as ``.npy``, not synced.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks._harness import Contender, Job, Run, as_json, write_result

SAMPLES = 96
SHORTEST, LONGEST = 8, 256
MEAN_TOKENS, SIGMA = 64, 0.8
"""Of the log-normal distribution of lengths, before they are clipped."""

LAYERS = (0, 6, 11)
POINTS = tuple(f"layers.{n}.resid_post" for n in LAYERS)
WIDTH = 768
PADDED_BATCH = 32
THREADS = 2
TARGET = 3.5


def make_data(home: Path) -> NDArray[np.int64]:
    """Save the model and the samples, and return the samples' offsets."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2"), dtype=torch.float32)
    model.save_pretrained(home / "model")
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(np.log(MEAN_TOKENS) - SIGMA**2 / 2, SIGMA, SAMPLES)
    lengths = np.clip(lengths.astype(np.int64), SHORTEST, LONGEST)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    np.save(home / "offsets.npy", offsets)
    np.save(home / "ids.npy", rng.integers(0, 50257, int(offsets[-1])).astype(np.int32))
    return offsets


def ours(home: Path) -> Job:
    """Return a job that captures into ``home/store``."""
    import json

    import torch

    import mistudio_activations as ma
    from mistudio_capture import CaptureModel, capture_shard
    from mistudio_footprint import DecoderShape, token_budget

    torch.set_num_threads(THREADS)
    ids, offsets = np.load(home / "ids.npy"), np.load(home / "offsets.npy")
    shape = DecoderShape.from_config(json.loads((home / "model/config.json").read_bytes()))
    budget = token_budget(shape, 1 << 32, "cpu", captured=len(POINTS) * WIDTH)
    model = CaptureModel.load(home / "model")
    store = home / "store"

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


def transformers_hooks(home: Path) -> Job:
    """Return a job that saves ``home/hooks/<hook point>.npy``."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(THREADS)
    ids, offsets = np.load(home / "ids.npy"), np.load(home / "offsets.npy")
    samples = [torch.from_numpy(ids[a:b].astype(np.int64)) for a, b in pairwise(offsets.tolist())]
    model = AutoModelForCausalLM.from_pretrained(home / "model", dtype=torch.float32).eval()
    seen: dict[str, Any] = {}

    def keep(point: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            seen[point] = (output[0] if isinstance(output, tuple) else output).clone()

        return hook

    for layer, point in zip(LAYERS, POINTS, strict=True):
        model.transformer.h[layer].register_forward_hook(keep(point))
    target = home / "hooks"
    target.mkdir()

    @torch.inference_mode()
    def job() -> None:
        rows: dict[str, list[Any]] = {point: [] for point in POINTS}
        for start in range(0, len(samples), PADDED_BATCH):
            batch = samples[start : start + PADDED_BATCH]
            padded = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
            lengths = torch.tensor([len(s) for s in batch])
            mask = torch.arange(padded.shape[1])[None] < lengths[:, None]
            model(input_ids=padded, attention_mask=mask.long(), use_cache=False)
            for point in POINTS:
                rows[point].append(seen[point][mask].cpu())
        for point in POINTS:
            np.save(target / f"{point}.npy", torch.cat(rows[point]).numpy())

    return job


def check(home: Path) -> None:
    """Insist that both sides left the same rows on disk."""
    import mistudio_activations as ma

    store = ma.open(home / "store")
    store.verify()
    for point in POINTS:
        expected = np.load(home / "hooks" / f"{point}.npy")
        distance = np.linalg.norm(store[point][:] - expected, axis=1)
        assert (distance < 1e-5 * np.linalg.norm(expected, axis=1)).all(), point


def padded_tokens(offsets: NDArray[np.int64]) -> int:
    """Return how many tokens padded batches hold."""
    lengths = np.diff(offsets)
    batches = [lengths[i : i + PADDED_BATCH] for i in range(0, lengths.size, PADDED_BATCH)]
    return int(sum(b.max() * b.size for b in batches))


def report(runs: list[Run], offsets: NDArray[np.int64]) -> dict[str, Any]:
    """Print the table, and return what is written."""
    tokens = int(offsets[-1])
    names = list(dict.fromkeys(run.contender for run in runs))
    wall = {n: statistics.median(r.seconds for r in runs if r.contender == n) for n in names}
    cpu = {n: statistics.median(r.cpu_seconds for r in runs if r.contender == n) for n in names}
    table = Table("", "median s", "tokens/s", "CPU s", "miStudio is", title="Capture, GPT-2 small")
    for name in names:
        table.add_row(
            name,
            f"{wall[name]:.2f}",
            f"{tokens / wall[name]:.0f}",
            f"{cpu[name]:.2f}",
            f"{wall[name] / wall['mistudio']:.2f} × as fast" if name != "mistudio" else "",
        )
    Console().print(table)
    others = [n for n in names if n != "mistudio"]
    return {
        "ratios": {"ragged": {n: round(wall[n] / wall["mistudio"], 2) for n in others}},
        "cpu_ratios": {"ragged": {n: round(cpu[n] / cpu["mistudio"], 2) for n in others}},
        "target": TARGET,
        "tokens_per_second": {n: round(tokens / wall[n], 1) for n in names},
        "data": {
            "samples": SAMPLES,
            "tokens": tokens,
            "padded_tokens": padded_tokens(offsets),
            "layers": list(LAYERS),
            "threads": THREADS,
        },
        "runs": as_json(runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each side")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        offsets = make_data(home)
        with (
            Contender("mistudio", ours, home) as first,
            Contender("transformers_hooks", transformers_hooks, home) as second,
        ):
            runs = [side.run() for _ in range(repeats) for side in (first, second)]
        check(home)
    write_result("capture", report(runs, offsets))


if __name__ == "__main__":
    main()
