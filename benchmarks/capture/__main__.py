"""Capture against the libraries that do the same: ``make bench NAME=capture``.

GPT-2's small shape with random weights, layers 0, 6 and 11, float32, CPU; ragged samples and ones
that fill the context. Everybody gets the same tokens and leaves the same rows on disk; that is
checked. Each contender has a process of its own, loads its model before it is timed, and they run
in turns, so all see the same machine.

- *mistudio*: the running system, from the request to the committed manifest.
- *engine*: the capture engine and the store alone; *bare*: the same forward pass, nothing kept.
- *transformers_hooks*: batches of 32 in order of arrival, padded; *transformers_sorted*: by length.
- *nnsight*, *transformer_lens*, *sae_lens*: as their guides show; built by ``deploy/dev/peers``.
- *nnsight_stopped*, *transformer_lens_stopped*: told by hand to stop after the last block. They
  then compute what the bare pass does, padding apart, so the targets are not of them.
- *products*: the model's largest matrix product, which says what the machine could do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._harness import ROOT, Contender, Run, as_json, write_result

from . import data, ours, rivals

SETTING = data.Setting(
    family="gpt2",
    # The checkpoint on the hub has n_ctx, which TransformerLens reads and transformers no longer.
    shape={"n_ctx": 1024},
    width=768,
    layers=12,
    vocab=50257,
    context=1024,
    captured=(0, 6, 11),
)
SETS = {"ragged": data.ragged(64, 8, 256), "uniform": np.full(4, SETTING.context)}

PEERS = ROOT / ".venv-peers" / "bin" / "python"
OURS: dict[str, Callable[..., Any]] = {
    "mistudio": ours.system,
    "engine": ours.engine,
    "bare": ours.bare,
    "products": ours.products,
}
THEIRS: dict[str, Callable[..., Any]] = {
    "transformers_hooks": rivals.transformers_hooks,
    "transformers_sorted": rivals.transformers_sorted,
    "nnsight": rivals.nnsight,
    "nnsight_stopped": rivals.nnsight_stopped,
    "transformer_lens": rivals.transformer_lens,
    "transformer_lens_stopped": rivals.transformer_lens_stopped,
    "sae_lens": rivals.sae_lens,
}
SAVED = {
    "transformers_hooks": "hooks",
    "transformers_sorted": "sorted",
    "nnsight": "nnsight",
    "transformer_lens": "lens",
    "nnsight_stopped": "nnsight-stopped",
    "transformer_lens_stopped": "lens-stopped",
}
BY_HAND = ("nnsight_stopped", "transformer_lens_stopped")
TARGETS = {
    "ragged over transformers_hooks": 4.0,
    "ragged over transformer_lens": 7.0,
    "uniform over the best": 1.5,
    "capture over bare, at most": 1.08,
    "share of the product rate": 0.8,
}
NEAR, NEAR_LENS = 1e-5, 1e-3
"""TransformerLens computes with weights of its own shape, and comes less near."""


def check(home: Path, name: str) -> None:
    """Insist that everybody left the same rows on disk."""
    import mistudio_activations as ma

    for directory in ("engine", "system"):
        store = ma.open(home / name / directory)
        store.verify()
        for point in SETTING.points:
            for rival, saved in SAVED.items():
                rows = np.load(home / name / saved / f"{point}.npy")
                distance = np.linalg.norm(store[point][:] - rows, axis=1)
                near = NEAR_LENS if rival.startswith("transformer_lens") else NEAR
                assert (distance < near * np.linalg.norm(rows, axis=1)).all(), (rival, point)


def run(home: Path, name: str, repeats: int) -> list[Run]:
    """Let everybody run over one set, in turns."""
    with ExitStack() as stack:
        sides = [stack.enter_context(Contender(n, p, home, name)) for n, p in OURS.items()]
        sides += [
            stack.enter_context(Contender(n, p, home, name, python=PEERS, warm=name == "ragged"))
            for n, p in THEIRS.items()
        ]
        turns = [side.run() for _ in range(repeats) for side in sides]
        # What is compared with ourselves lies near each other, and often changes places.
        own = [side for side in sides if side.name in ("engine", "bare", "products")]
        return turns + [side.run() for _ in range(2 * repeats) for side in own]


def figures(home: Path, name: str, runs: list[Run]) -> dict[str, Any]:
    """Print a set's table, and return its figures."""
    tokens = int(data.load(home, name)[1][-1])
    seconds = {
        side: statistics.median(r.seconds for r in runs if r.contender == side)
        for side in (*OURS, *THEIRS)
    }
    rate = ours.product_operations(SETTING) / seconds["products"]
    # Of one turn each: the machine is another one some minutes later.
    overhead = statistics.median(_by_turn(runs, "engine", "bare"))
    operations = ours.forward_operations(home, name) / ours.product_operations(SETTING)
    share = operations * statistics.median(_by_turn(runs, "products", "bare"))
    table = Table("", "median s", "tokens/s", "miStudio is", title=f"{name}: {tokens} tokens")
    for side, taken in seconds.items():
        if side == "products":
            continue
        times = f"{taken / seconds['mistudio']:.2f} × as fast" if side in THEIRS else ""
        table.add_row(side, f"{taken:.2f}", f"{tokens / taken:.0f}", times)
    Console().print(table)
    Console().print(f"capture and storing over the bare pass: {overhead:.3f}")
    Console().print(f"the bare pass, of {rate / 1e9:.0f} GFLOP/s of products: {share:.1%}")
    return {
        "tokens": tokens,
        "seconds": {side: round(taken, 3) for side, taken in seconds.items()},
        "tokens_per_second": {
            side: round(tokens / taken, 1) for side, taken in seconds.items() if side != "products"
        },
        "mistudio_over": {s: round(seconds[s] / seconds["mistudio"], 2) for s in THEIRS},
        "capture_over_bare": round(overhead, 3),
        "share_of_product_rate": round(share, 3),
        "product_gflops": round(rate / 1e9, 1),
        "runs": as_json(runs),
    }


def _by_turn(runs: list[Run], side: str, other: str) -> list[float]:
    """Return how many times as long one took as another, in each turn."""
    taken = {each: [r.seconds for r in runs if r.contender == each] for each in (side, other)}
    return [a / b for a, b in zip(taken[side], taken[other], strict=True)]


def judged(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the figures that have targets, the worse of both sets where both count."""
    ragged, uniform = (found[name]["mistudio_over"] for name in ("ragged", "uniform"))
    return {
        "ragged over transformers_hooks": ragged["transformers_hooks"],
        "ragged over transformer_lens": ragged["transformer_lens"],
        "uniform over the best": min(v for side, v in uniform.items() if side not in BY_HAND),
        "capture over bare, at most": max(f["capture_over_bare"] for f in found.values()),
        "share of the product rate": min(f["share_of_product_rate"] for f in found.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each contender")
    repeats = parser.parse_args().repeats
    subprocess.run([ROOT / "deploy" / "dev" / "peers"], check=True)
    # Every model lies here: nobody need ask a hub for one.
    os.environ["HF_HUB_OFFLINE"] = "1"
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        data.make(home, SETTING, SETS)
        for name in SETS:
            runs = run(home, name, repeats)
            check(home, name)
            found[name] = figures(home, name, runs)
            shutil.rmtree(home / name)
    measured = judged(found)
    table = Table("", "measured", "target")
    for what, target in TARGETS.items():
        table.add_row(what, str(measured[what]), str(target))
    Console().print(table)
    write_result("capture", {"judged": measured, "targets": TARGETS, "sets": found})


if __name__ == "__main__":
    main()
