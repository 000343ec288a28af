"""Estimated against measured memory: ``make bench NAME=footprint``.

For each family and format a small model with random weights is made, prepared as the loader does,
and captured on the CPU by the largest batch of the estimate. Two comparisons are printed:

- *tensors*: the bytes of the decoder's own tensors against the estimate's weights and quantisation
  state, which must be equal.
- *total*: the growth of a process's resident memory while it loads the model and captures, against
  the estimate's total, which must be between 80 and 100 percent. The growth is the kernel's own
  peak (``VmHWM``), counted from a process that has already captured with a tiny model of the same
  family and format, so that libraries and threads are there, and whose heap is set up as the
  extractor's is. The disk is as slow as can be: nothing
  is written before the queue of captured columns is full.

What ``CaptureModel`` refuses is shown as refused, with the reason.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import multiprocessing
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._harness import write_result
from mistudio_footprint import (
    FORMATS,
    Batch,
    DecoderShape,
    Format,
    Parts,
    checkpoint_dtype,
    parts,
    token_budget,
    unavailable,
)

LENGTH = 512
VOCAB = 12_000
BATCHES = 3
"""While the third runs, the queue of captured columns is full."""

LEAST, MOST = 0.80, 1.00
"""Of the estimate, that may be measured."""

_WIDE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "intermediate_size": 2816,
    "max_position_embeddings": LENGTH,
}
_GROUPED: dict[str, Any] = {**_WIDE, "num_key_value_heads": 4}
_SQUARE: dict[str, Any] = {"max_position_embeddings": LENGTH, "hidden_size": 1024}
_GPT: dict[str, Any] = {"n_embd": 1024, "n_layer": 6, "n_head": 16, "n_positions": LENGTH}
_LOCAL: dict[str, Any] = {
    "layer_types": ["sliding_attention", "full_attention"] * 3,
    "sliding_window": 128,
    "head_dim": 128,
}

SMALL: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 1024, "n_layer": 6, "n_head": 16, "seq_length": LENGTH},
    "falcon": {**_SQUARE, "num_hidden_layers": 6, "num_attention_heads": 16},
    "gemma2": {**_GROUPED, **_LOCAL},
    "gemma3_text": {**_GROUPED, **_LOCAL},
    "gpt2": _GPT,
    "gpt_neo": {
        **_SQUARE,
        "num_layers": 6,
        "num_heads": 16,
        "attention_types": [[["global", "local"], 3]],
        "window_size": 128,
    },
    "gpt_neox": {**_WIDE, "intermediate_size": 4096},
    "gptj": {**_GPT, "rotary_dim": 32},
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": 128},
    "mixtral": {**_GROUPED, "num_hidden_layers": 3, "num_local_experts": 4, "sliding_window": None},
    "olmo2": _GROUPED,
    "opt": {
        **_SQUARE,
        "num_hidden_layers": 6,
        "num_attention_heads": 16,
        "ffn_dim": 4096,
        "word_embed_proj_dim": 512,
    },
    "phi": {**_WIDE, "intermediate_size": 4096},
    "phi3": {**_GROUPED, "pad_token_id": 0},
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 128},
}
"""Config overrides: between 100 and 500 MB in float32, so that what a process grows by is seen."""


@dataclass(frozen=True)
class Result:
    """One family in one format; bytes. ``refused`` says why nothing was measured."""

    family: str
    format: str
    estimate: dict[str, int] | None = None
    estimated_total: int | None = None
    tensors: int | None = None
    peak: int | None = None
    batch: str | None = None
    refused: str | None = None

    @property
    def tensor_ratio(self) -> float | None:
        """Measured over estimated bytes of tensors."""
        if self.tensors is None or self.estimate is None:
            return None
        return self.tensors / (self.estimate["weights"] + self.estimate["quantization_state"])

    @property
    def total_ratio(self) -> float | None:
        """Measured over estimated bytes in all."""
        if self.peak is None or self.estimated_total is None:
            return None
        return self.peak / self.estimated_total


def make(family: str, overrides: dict[str, Any], path: Path) -> Path:
    """Save a decoder with random float32 weights and return its directory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    settings = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, **overrides}
    config = AutoConfig.for_model(family, **settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    # One file: the loader's own writers take a file at a time.
    model.save_pretrained(path, max_shard_size="50GB")
    return path


def prepare(source: Path, quantization: str, target: Path) -> Path:
    """Write a checkpoint in a format with the loader's own writers and return its directory."""
    from mistudio_contracts.states import Dtype, Quantization
    from mistudio_contracts.values import QuantizationOptions
    from mistudio_loader.domain.headers import read_header
    from mistudio_loader.services.casting import cast_file
    from mistudio_loader.services.quantizing import find_matrices, quantize_file

    target.mkdir(parents=True)
    weights, written = source / "model.safetensors", target / "model.safetensors"
    config = json.loads((source / "config.json").read_bytes())
    with weights.open("rb") as stream:
        header = read_header(stream, weights.name, weights.stat().st_size)
    if quantization in ("fp16", "bf16"):
        dtype = Dtype.FLOAT16 if quantization == "fp16" else Dtype.BFLOAT16
        cast_file(weights, header, written, dtype, lambda _: None)
        config["dtype"] = dtype.value
    elif quantization == "none":
        shutil.copy(weights, written)
    else:
        names = {tensor.name for tensor in header.tensors}
        matrices = find_matrices(
            config, names, Quantization(quantization), QuantizationOptions(), Dtype.FLOAT32
        )
        quantize_file(weights, header, written, matrices, lambda _: None)
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return target


def capture(path: Path, batch: Batch) -> int:
    """Capture :data:`BATCHES` batches and return the bytes of the model's tensors."""
    import numpy as np

    from mistudio_capture import CaptureModel, capture_shard

    model = CaptureModel.load(path)
    run, runs, full = model.run, [0], threading.Event()

    def counted(*arguments: Any) -> None:
        run(*arguments)
        runs[0] += 1
        if runs[0] == BATCHES:
            full.set()

    model.run = counted  # type: ignore[assignment, method-assign]
    samples = BATCHES * batch.samples
    ids = np.random.default_rng(0).integers(0, 500, samples * batch.length).astype(np.int32)
    capture_shard(
        model,
        ids,
        np.arange(samples + 1, dtype=np.int64) * batch.length,
        [f"layers.{n}.resid_post" for n in range(batch.hook_points)],
        lambda *_: None if full.wait(120) else _never(),
        token_budget=batch.tokens,
        dtype=model.dtype,
    )
    found = model.memory_bytes
    model.close()
    return found


def _never() -> None:
    raise TimeoutError("the queue of captured columns never filled")


def measure(pipe: Connection, tiny: Path, path: Path, batch: Batch) -> None:
    """Send the bytes of the model's tensors and the peak growth of this process, or a refusal."""
    from mistudio_capture import CaptureError, give_back_at_once

    give_back_at_once()
    try:
        capture(tiny, Batch(1, 32))
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        tensors = capture(path, batch)
        pipe.send((tensors, _status("VmHWM") - before))
    except CaptureError as error:
        pipe.send(str(error))


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def in_a_child(tiny: Path, path: Path, batch: Batch) -> tuple[int, int] | str:
    """Measure in a process of its own that has imported everything and done nothing yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mistudio_capture", "transformers"])
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=measure, args=(theirs, tiny, path, batch))
    child.start()
    theirs.close()
    try:
        answer: tuple[int, int] | str = ours.recv()
    except EOFError:
        raise RuntimeError(f"the measurement of {path.name} died") from None
    finally:
        child.join()
    return answer


def results(families: list[str], formats: list[str], home: Path) -> Iterator[Result]:
    """Yield one result for each family and format."""
    from mistudio_testkit.models import TINY

    for family in families:
        place = home / family
        source = make(family, SMALL[family], place / "source")
        tiny = make(family, TINY[family], place / "tiny")
        config = json.loads((source / "config.json").read_bytes())
        shape = DecoderShape.from_config(config)
        for name in formats:
            reason = unavailable(shape, name)
            if reason is not None:
                yield Result(family, name, refused=reason)
                continue
            how = Format(name, checkpoint_dtype(config))
            tokens = token_budget(shape, 1 << 40, "cpu")
            batch = Batch(max(1, tokens // LENGTH), LENGTH)
            estimate = parts(shape, how, batch, "cpu")
            ready = (
                prepare(tiny, name, place / f"tiny-{name}"),
                prepare(source, name, place / name),
            )
            yield _result(family, name, batch, estimate, in_a_child(*ready, batch))
            shutil.rmtree(ready[1])
        shutil.rmtree(place)


def _result(
    family: str, name: str, batch: Batch, estimate: Parts, found: tuple[int, int] | str
) -> Result:
    if isinstance(found, str):
        return Result(family, name, refused=found)
    return Result(
        family,
        name,
        estimate=asdict(estimate),
        estimated_total=estimate.total,
        tensors=found[0],
        peak=found[1],
        batch=f"{batch.samples} × {batch.length}",
    )


def report(found: list[Result]) -> dict[str, Any]:
    """Print the table, and return what is written."""
    table = Table(
        *("family", "format", "batch", "tensors MB", "of estimate", "peak MB", "estimate MB"),
        "of estimate",
        title="Footprint on the CPU: measured against estimated",
    )
    for each in found:
        if each.refused is not None:
            table.add_row(each.family, each.format, f"refused: {each.refused}")
            continue
        table.add_row(
            each.family,
            each.format,
            each.batch,
            _megabytes(each.tensors),
            f"{each.tensor_ratio:.1%}",
            _megabytes(each.peak),
            _megabytes(each.estimated_total),
            f"{each.total_ratio:.1%}",
        )
    console = Console()
    console.print(table)
    measured = [each for each in found if each.total_ratio is not None]
    outside = [
        f"{each.family} {each.format}"
        for each in measured
        if not (
            LEAST <= (each.total_ratio or 0) <= MOST and LEAST <= (each.tensor_ratio or 0) <= MOST
        )
    ]
    console.print(
        f"{len(measured)} measured, {len(found) - len(measured)} refused; outside "
        f"{LEAST:.0%} to {MOST:.0%}: {', '.join(outside) or 'none'}"
    )
    return {
        "target": [LEAST, MOST],
        "outside": outside,
        "results": [
            {
                **{k: v for k, v in asdict(each).items() if v is not None},
                **({} if each.total_ratio is None else {"total_ratio": round(each.total_ratio, 4)}),
                **(
                    {}
                    if each.tensor_ratio is None
                    else {"tensor_ratio": round(each.tensor_ratio, 4)}
                ),
            }
            for each in found
        ],
    }


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=sorted(SMALL), default=sorted(SMALL))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = []
        for each in results(asked.families, asked.formats, Path(scratch)):
            found.append(each)
            told = each.refused or f"{each.tensor_ratio:.1%} {each.total_ratio:.1%}"
            print(each.family, each.format, told, flush=True)
    outcome = report(found)
    if asked.families == sorted(SMALL) and asked.formats == list(FORMATS):
        write_result("footprint", outcome)


if __name__ == "__main__":
    main()
