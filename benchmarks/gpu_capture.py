"""Capture on a GPU against the libraries that do the same: ``make bench NAME=gpu_capture``.

GPT-2 medium in float16 and Llama-2 7B's shape in bfloat16, random weights, three layers, ragged and
full-length samples: tokens a second of everybody, and what share of the GPU's measured rate of
matrix products the forward pass reaches. Then all 24 layers of GPT-2 medium over 1,000 samples of
1,024 tokens, and the disk's own rate of writing beside it. TransformerLens and SAELens know models
by name, so they run GPT-2 alone.

``--device cpu --small`` walks the same way where there is no GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks._harness import ROOT, Contender, as_json, write_result
from benchmarks.capture import data, ours, rivals

PEERS = ROOT / ".venv-peers" / "bin" / "python"
GPT2 = data.Setting(
    family="gpt2",
    shape={"n_embd": 1024, "n_layer": 24, "n_head": 16, "n_ctx": 1024},
    width=1024,
    layers=24,
    vocab=50257,
    context=1024,
    captured=(0, 12, 23),
    dtype="float16",
    device="cuda",
    threads=8,
)
LLAMA = data.Setting(
    family="llama",
    shape={
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 2048,
        "vocab_size": 32_000,
    },
    width=4096,
    layers=32,
    vocab=32_000,
    context=2048,
    captured=(0, 16, 31),
    dtype="bfloat16",
    device="cuda",
    threads=8,
)
OURS: dict[str, Callable[..., Any]] = {
    "engine": ours.engine,
    "bare": ours.bare,
    "products": ours.products,
}
EVERYBODY: dict[str, Callable[..., Any]] = {
    "transformers_hooks": rivals.transformers_hooks,
    "transformers_sorted": rivals.transformers_sorted,
    "nnsight": rivals.nnsight,
}
BY_NAME: dict[str, Callable[..., Any]] = {
    "transformer_lens": rivals.transformer_lens,
    "sae_lens": rivals.sae_lens,
}
SHARE, ALL_LAYERS_SECONDS = 0.5, 60.0
SMALL = {
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_ctx": 1024},
    "llama": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "vocab_size": 32_000,
    },
}


def small(setting: data.Setting, device: str) -> data.Setting:
    """Return a setting of the same family that a CPU walks through in seconds."""
    return dataclasses.replace(
        setting,
        shape=SMALL[setting.family],
        width=64,
        layers=3,
        captured=(0, 1, 2),
        dtype="float32",
        device=device,
        threads=2,
    )


def compare(
    setting: data.Setting, sets: dict[str, NDArray[np.int64]], repeats: int, scratch: Path | None
) -> dict[str, Any]:
    """Let everybody run over the sets in turns; print and return the figures of each."""
    theirs = EVERYBODY | (BY_NAME if setting.family == "gpt2" else {})
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        home = Path(directory)
        data.make(home, setting, sets)
        for name in sets:
            runs = []
            # A model each: not all of them fit a device together.
            for side, prepare in (OURS | theirs).items():
                python = PEERS if side in theirs else Path(sys.executable)
                with Contender(side, prepare, home, name, python=python) as contender:
                    runs += [contender.run() for _ in range(repeats)]
            found[name] = _figures(home, setting, name, runs)
    return found


def _figures(home: Path, setting: data.Setting, name: str, runs: list[Any]) -> dict[str, Any]:
    sides = list(dict.fromkeys(run.contender for run in runs))
    seconds = {s: statistics.median(r.seconds for r in runs if r.contender == s) for s in sides}
    tokens = int(data.load(home, name)[1][-1])
    rate = ours.product_operations(setting) / seconds["products"]
    share = ours.forward_operations(home, name) / seconds["bare"] / rate
    written = tokens * len(setting.points) * setting.width * (4 if "32" in setting.dtype else 2)
    table = Table("", "median s", "tokens/s", "ours is", title=f"{setting.family}, {name}")
    for side in sides:
        if side != "products":
            times = f"{seconds[side] / seconds['engine']:.2f} ×"
            table.add_row(side, f"{seconds[side]:.2f}", f"{tokens / seconds[side]:.0f}", times)
    Console().print(table)
    Console().print(f"the bare pass: {share:.1%} of {rate / 1e12:.1f} TFLOP/s of products")
    return {
        "tokens": tokens,
        "seconds": {s: round(t, 3) for s, t in seconds.items()},
        "share_of_product_rate": round(share, 3),
        "product_tflops": round(rate / 1e12, 2),
        "capture_over_bare": round(seconds["engine"] / seconds["bare"], 3),
        "written_megabytes_per_second": round(written / seconds["engine"] / 1e6, 1),
        "runs": as_json(runs),
    }


def all_layers(setting: data.Setting, samples: int, scratch: Path | None) -> dict[str, Any]:
    """Capture every layer of full-length samples once; return seconds and rates."""
    setting = dataclasses.replace(setting, captured=tuple(range(setting.layers)))
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        home = Path(directory)
        data.make(home, setting, {"all": np.full(samples, setting.context)})
        with Contender("engine", ours.engine, home, "all", warm=False) as contender:
            seconds = contender.run().seconds
        size = sum(p.stat().st_size for p in (home / "all" / "engine").rglob("*") if p.is_file())
        disk = _disk_rate(home, min(size, 1 << 32))
    told = f"{samples} × {setting.context} tokens, {setting.layers} layers: {seconds:.1f} s"
    Console().print(f"{told}, {size / seconds / 1e6:.0f} MB/s; the disk writes {disk / 1e6:.0f}")
    return {
        "samples": samples,
        "seconds": round(seconds, 2),
        "bytes": size,
        "megabytes_per_second": round(size / seconds / 1e6, 1),
        "disk_megabytes_per_second": round(disk / 1e6, 1),
    }


def _disk_rate(home: Path, size: int) -> float:
    """Return bytes a second of one file written in order and synced."""
    block = os.urandom(1 << 24)
    start = time.perf_counter()
    with (home / "disk").open("wb", buffering=0) as file:
        for _ in range(max(1, size // len(block))):
            file.write(block)
        os.fsync(file.fileno())
    return max(1, size // len(block)) * len(block) / (time.perf_counter() - start)


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny models and few samples")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", choices=("gpt2", "llama", "all-layers"), help="one part")
    parser.add_argument("--home", type=Path, help="a directory with 80 GB free; default: temporary")
    parser.add_argument("--out", type=Path, help="where to write the figures besides")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA GPU here; --device cpu --small walks without one.")
    subprocess.run([ROOT / "deploy" / "dev" / "peers"], check=True)
    # Every model lies here: nobody need ask a hub for one.
    os.environ["HF_HUB_OFFLINE"] = "1"
    gpt2, llama = GPT2, LLAMA
    if asked.small:
        gpt2, llama = small(gpt2, asked.device), small(llama, asked.device)
    few = asked.small
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if asked.device == "cuda" else "cpu",
        "targets": {"share of products, llama": SHARE, "all layers, seconds": ALL_LAYERS_SECONDS},
    }
    if asked.only in (None, "gpt2"):
        sets = {
            "ragged": data.ragged(32 if few else 4096, 8, 256),
            "uniform": np.full(2 if few else 256, gpt2.context),
        }
        result["gpt2"] = compare(gpt2, sets, asked.repeats, asked.home)
    if asked.only in (None, "llama"):
        sets = {
            "ragged": data.ragged(32 if few else 1024, 8, 512, mean=128),
            "uniform": np.full(2 if few else 32, llama.context),
        }
        result["llama"] = compare(llama, sets, asked.repeats, asked.home)
    if asked.only in (None, "all-layers"):
        result["all_layers"] = all_layers(gpt2, 4 if few else 1000, asked.home)
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if asked.device == "cuda" and not asked.small and asked.only is None:
        write_result("gpu_capture", result)


if __name__ == "__main__":
    main()
