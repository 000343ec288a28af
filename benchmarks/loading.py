"""Preparing int4 once and loading it again: ``make bench NAME=loading``.

TinyLlama's shape (1.1 billion parameters) with random weights in bfloat16, to nf4 with double
quantisation, on a CPU. Each side has a process of its own that has imported everything, and they
run in turns, so all see the same machine.

- *prepare*: ``mistudio_loader``'s preparation, the comparison with the reference included.
- *load*: ``CaptureModel.load`` of the prepared artifact.
- *read*: the artifact's bytes that *load* needs, from their files into fresh memory, tensor by
  tensor, and nothing else.
- *transformers_quantise*: ``from_pretrained`` of the original checkpoint with a
  ``BitsAndBytesConfig``, as everybody who prepares nothing does it at each start.
- *transformers_load*: ``from_pretrained`` of the prepared artifact, which maps its files and
  reads their bytes only when they are used.

*load* and *read* run twice: with the files in the page cache, and with them dropped from it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._harness import Contender, Job, Run, as_json, write_result

SHAPE = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "vocab_size": 32_000,
}
THREADS = 2
RELOAD_TARGET, READ_TARGET = 5.0, 1.3


def make_checkpoint(home: Path) -> None:
    """Write the checkpoint of random weights, in two files."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **SHAPE)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(home / "checkpoint", max_shard_size="1200MB")


def _prepare(home: Path, cache: Path) -> Path:
    from mistudio_contracts import Quantization, Source
    from mistudio_loader.jobs import PrepareJob
    from mistudio_loader.services.preparation import Preparation

    job = PrepareJob(
        task_id="task_bench",
        source=Source.LOCAL,
        model_identifier=str(home / "checkpoint"),
        quantization=Quantization.INT4,
        root=cache,
        local_roots=[home],
        endpoint="http://127.0.0.1:9",
    )
    return cache / Preparation(job, lambda _step: None).run().artifact.fingerprint


def prepare(home: Path) -> Job:
    """Return a job that prepares into an empty cache."""
    import torch

    torch.set_num_threads(THREADS)

    def job() -> None:
        shutil.rmtree(home / "cache", ignore_errors=True)
        (home / "cache").mkdir()
        made = _prepare(home, home / "cache")
        shutil.rmtree(home / "artifact", ignore_errors=True)
        made.rename(home / "artifact")

    return job


def load(home: Path) -> Job:
    """Return a job that loads the artifact and lets go of it."""
    import torch

    from mistudio_capture import CaptureModel

    torch.set_num_threads(THREADS)

    def job() -> object:
        return CaptureModel.load(home / "artifact").close

    return job


def read(home: Path) -> Job:
    """Return a job that reads what :func:`load` reads."""
    from mistudio_capture.files import TensorFiles

    def job() -> object:
        found = [t for t in _tensors(TensorFiles(home / "artifact")) if "lm_head" not in t.name]
        kept = []
        for tensor in sorted(found, key=lambda t: (t.path, t.offset)):
            buffer = bytearray(tensor.bytes)
            with tensor.path.open("rb", buffering=0) as stream:
                stream.seek(tensor.offset)
                stream.readinto(buffer)
            kept.append(buffer)
        return kept.clear

    return job


def _tensors(files: Any) -> list[Any]:
    return [files[name] for name in files]


def transformers_quantise(home: Path) -> Job:
    """Return a job that quantises the original checkpoint in memory."""
    return _from_pretrained(home / "checkpoint", quantise=True)


def transformers_load(home: Path) -> Job:
    """Return a job that loads the artifact with transformers."""
    return _from_pretrained(home / "artifact", quantise=False)


def _from_pretrained(path: Path, *, quantise: bool) -> Job:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    settings: dict[str, Any] = {}
    if quantise:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
        )

    def job() -> object:
        found = [AutoModelForCausalLM.from_pretrained(path, device_map="cpu", **settings)]
        return found.clear

    return job


def drop_cache(directory: Path) -> None:
    """Ask the system to forget the files' pages."""
    for path in directory.glob("*.safetensors"):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def report(runs: dict[str, list[Run]], home: Path) -> dict[str, Any]:
    """Print the table, and return what is written."""
    seconds = {name: statistics.median(r.seconds for r in found) for name, found in runs.items()}
    size = sum(p.stat().st_size for p in (home / "artifact").glob("*.safetensors"))
    table = Table("", "median s", "against load", title="int4, 1.1 billion parameters, 2 cores")
    for name, each in seconds.items():
        base = seconds["load_cold" if name.endswith("_cold") else "load"]
        table.add_row(name, f"{each:.2f}", f"{each / base:.2f} ×")
    Console().print(table)
    manifest = json.loads((home / "artifact" / "artifact.json").read_text("utf-8"))
    ratios = {
        "prepare_over_load": round(seconds["prepare"] / seconds["load"], 2),
        "prepare_over_load_cold": round(seconds["prepare"] / seconds["load_cold"], 2),
        "load_over_read": round(seconds["load"] / seconds["read"], 2),
        "load_over_read_cold": round(seconds["load_cold"] / seconds["read_cold"], 2),
        "transformers_quantise_over_load": round(
            seconds["transformers_quantise"] / seconds["load"], 2
        ),
        "transformers_load_over_load": round(seconds["transformers_load"] / seconds["load"], 2),
    }
    Console().print(ratios)
    return {
        "ratios": ratios,
        "targets": {"prepare_over_load": RELOAD_TARGET, "load_over_read": READ_TARGET},
        "seconds": {name: round(each, 3) for name, each in seconds.items()},
        "artifact_bytes": size,
        "mean_relative_error": statistics.mean(
            layer["relative_error"] for layer in manifest["fidelity"]["layers"]
        ),
        "runs": as_json([run for found in runs.values() for run in found]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of the quick sides")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        make_checkpoint(home)
        runs: dict[str, list[Run]] = {"prepare": []}
        with Contender("prepare", prepare, home) as first:
            runs["prepare"].append(first.run())
        sides: dict[str, Callable[[Path], Job]] = {
            "load": load,
            "read": read,
            "transformers_load": transformers_load,
            "transformers_quantise": transformers_quantise,
        }
        with ExitStack() as stack:
            contenders = {n: stack.enter_context(Contender(n, s, home)) for n, s in sides.items()}
            for turn in range(repeats):
                for name in ("load", "read"):
                    runs.setdefault(name, []).append(contenders[name].run())
                for name in ("load", "read"):
                    drop_cache(home / "artifact")
                    runs.setdefault(f"{name}_cold", []).append(contenders[name].run())
                if turn == 0:
                    for name in ("transformers_load", "transformers_quantise"):
                        runs.setdefault(name, []).append(contenders[name].run())
        write_result("loading", report(runs, home))


if __name__ == "__main__":
    main()
