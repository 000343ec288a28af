"""Preparing 4 GB of weights in 1.5 GB of memory: ``make bench NAME=preparing``.

A Llama of 2.1 billion parameters with random weights in bfloat16, prepared as int4 by the loader's
child process, which the kernel holds to 1.5 GB of data (``RLIMIT_DATA``: heap and private memory,
not the cache of files). Then transformers with bitsandbytes is held to the same, and to nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._harness import write_result

SHAPE = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "vocab_size": 32_000,
}
LAYERS = 46
ALLOWED = int(1.5 * 2**30)
GB = 2**30

THEIRS = """
import sys, torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
torch.set_num_threads(2)
config = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
)
model = AutoModelForCausalLM.from_pretrained(
    sys.argv[1], quantization_config=config, device_map="cpu"
)
model.save_pretrained(sys.argv[2])
"""


def make_checkpoint(directory: Path, layers: int, widths: dict[str, int] = SHAPE) -> int:
    """Write a Llama's checkpoint a layer at a time and return its bytes."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig

    from mistudio_capture.skeleton import build

    config = AutoConfig.for_model("llama", num_hidden_layers=layers, **widths)
    directory.mkdir()
    body = {**config.to_dict(), "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
    (directory / "config.json").write_text(json.dumps(body))
    generator = torch.Generator().manual_seed(0)
    groups: dict[str, list[tuple[str, torch.Size]]] = {}
    names = [("lm_head.weight", torch.Size((widths["vocab_size"], widths["hidden_size"])))]
    names += [(f"model.{n}", p.shape) for n, p in build(config, torch.bfloat16).named_parameters()]
    for name, shape in names:
        parts = name.split(".")
        groups.setdefault(parts[2] if parts[1] == "layers" else "rest", []).append((name, shape))
    total = 0
    weight_map: dict[str, str] = {}
    for index, group in enumerate(groups.values(), start=1):
        file = f"model-{index:05d}-of-{len(groups):05d}.safetensors"
        tensors = {n: _weights(shape, generator) for n, shape in group}
        save_file(tensors, directory / file, {"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
        total += sum(t.nbytes for t in tensors.values())
    index_body = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index_body))
    return total


def _weights(shape: Any, generator: Any) -> Any:
    import torch

    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    return (torch.randn(shape, generator=generator) * 0.02).to(torch.bfloat16)


def limit(allowed: int | None) -> Callable[[], None]:
    """Return what a child does before it becomes the program: take the limit upon itself."""

    def take() -> None:
        if allowed is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))

    return take


def ours(home: Path, cache: Path, allowed: int | None) -> tuple[bool, str]:
    """Run the loader's child process once; return whether it prepared, and its last words."""
    from mistudio_contracts import Quantization, Source
    from mistudio_loader.jobs import PrepareJob

    job = PrepareJob(
        task_id="task_bench",
        source=Source.LOCAL,
        model_identifier=str(home / "checkpoint"),
        quantization=Quantization.INT4,
        root=cache,
        local_roots=[home],
        endpoint="http://127.0.0.1:9",
    )
    order = {"parent": os.getpid(), "kind": "prepare", "job": job.model_dump(mode="json")}
    child = subprocess.Popen(
        [sys.executable, "-m", "mistudio_loader.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=limit(allowed),  # noqa: PLW1509 - this process has no threads
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(order) + "\n")
    child.stdin.flush()
    last = ""
    for line in child.stdout:
        last = line
    child.wait()
    return '"result"' in last, last[:200]


def theirs(home: Path, allowed: int | None) -> tuple[bool, str]:
    """Quantise and save with transformers; return whether it did, and its last words."""
    done = subprocess.run(
        [sys.executable, "-c", THEIRS, str(home / "checkpoint"), str(home / "theirs")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit(allowed),
    )
    words = done.stderr.strip().splitlines()
    return done.returncode == 0, words[-1][:200] if words else f"exit {done.returncode}"


def peak_of_children() -> int:
    """Return the largest resident memory of any child so far, mapped files included, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    layers = parser.parse_args().layers
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        weights = make_checkpoint(home / "checkpoint", layers)
        (home / "cache").mkdir()
        runs: list[tuple[str, int | None, Callable[[], tuple[bool, str]]]] = [
            ("mistudio", ALLOWED, lambda: ours(home, home / "cache", ALLOWED)),
            ("transformers", ALLOWED, lambda: theirs(home, ALLOWED)),
            ("transformers", None, lambda: theirs(home, None)),
        ]
        for name, allowed, run in runs:
            start = time.perf_counter()
            succeeded, words = run()
            rows.append(
                {
                    "contender": name,
                    "allowed_bytes": allowed,
                    "succeeded": succeeded,
                    "seconds": round(time.perf_counter() - start, 1),
                    "peak_resident_bytes_so_far": peak_of_children(),
                    "last_words": "" if succeeded else words.replace(str(home), ""),
                }
            )
    table = Table("", "allowed", "done", "seconds", "peak so far", title="int4 of 4 GB of weights")
    for row in rows:
        limited = "any" if row["allowed_bytes"] is None else f"{row['allowed_bytes'] / GB:.1f} GB"
        peak = f"{row['peak_resident_bytes_so_far'] / GB:.2f} GB"
        done = "yes" if row["succeeded"] else f"no: {row['last_words'][:60]}"
        table.add_row(row["contender"], limited, done, f"{row['seconds']:.0f}", peak)
    Console().print(table)
    write_result("preparing", {"weights_bytes": weights, "rows": rows})
    if not rows[0]["succeeded"]:
        sys.exit("the preparation did not stay within what it was allowed")


if __name__ == "__main__":
    main()
