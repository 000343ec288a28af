"""A 7-billion-parameter Llama on 6 GB of a GPU: ``make bench NAME=gpu_loading``.

Random weights of Llama-2 7B's shape in bfloat16 are written to disk and prepared as int4 (nf4 with
double quantisation). A process that PyTorch holds to 6 GB then loads the artifact and captures
``resid_post`` of three layers for 16 samples of 2048 tokens, cut into batches as the extractor cuts
them. Memory is the device's own count (``cudaMemGetInfo``), looked at all the while, less what
others used before the process came; so it counts the CUDA context too. Then transformers with
bitsandbytes loads the original checkpoint in the same way, and runs the same samples one by one.

``--layers 1 --length 16 --device cpu`` walks the same way where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._harness import write_result
from benchmarks.loading import _prepare
from benchmarks.preparing import make_checkpoint

SHAPE = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 2048,
    "vocab_size": 32_000,
}
LAYERS = 32
SAMPLES, LENGTH = 16, 2048
ALLOWED = 6 * 2**30
LOAD_SECONDS = 60.0
GIB = 2**30


@dataclass(frozen=True)
class Outcome:
    """Seconds and bytes of one side; ``failed`` says why there are none."""

    side: str
    load_seconds: float = 0.0
    loaded_bytes: int = 0
    capture_seconds: float = 0.0
    tokens_per_second: float = 0.0
    peak_bytes: int = 0
    failed: str | None = None


class Peak:
    """The most of the device that is taken while the block runs, less what was before."""

    def __init__(self, device: str, before: int) -> None:
        self._device, self._before = device, before
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, taken(self._device) - self._before)


def taken(device: str) -> int:
    """Return the bytes of the device that are in use, by whomever."""
    import psutil
    import torch

    if device == "cpu":
        return int(psutil.Process().memory_info().rss)
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def ours(
    artifact: Path, _checkpoint: Path, device: str, layers: list[int], length: int, before: int
) -> Outcome:
    """Load the artifact and capture, as the extractor does."""
    import torch

    from mistudio_capture import CaptureModel, capture_shard
    from mistudio_contracts import Dtype, Quantization
    from mistudio_contracts.values import Artifact
    from mistudio_extractor.services.hardware import DeviceFacts
    from mistudio_extractor.services.sizing import Sizing

    stored = sum(path.stat().st_size for path in artifact.glob("*.safetensors"))
    about = Artifact(
        fingerprint="0" * 32,
        quantization=Quantization.INT4,
        dtype=Dtype.BFLOAT16,
        bytes=stored,
    )
    facts = DeviceFacts(device, device, device, ALLOWED, ALLOWED)
    sizing = Sizing.of(artifact, about, facts)
    ids, offsets = samples(length)

    def load() -> Any:
        return CaptureModel.load(artifact, device)

    def capture(model: Any) -> None:
        capture_shard(
            model,
            ids.reshape(-1),
            offsets,
            [f"layers.{n}.resid_post" for n in layers],
            lambda *_: None,
            token_budget=sizing.batch_tokens(len(layers) * model.hidden_size, Dtype.BFLOAT16),
            dtype=torch.bfloat16,
            batch_size=SAMPLES,
        )

    return timed("miStudio", device, before, ids.size, load, capture)


def theirs(
    _artifact: Path, checkpoint: Path, device: str, layers: list[int], length: int, before: int
) -> Outcome:
    """Quantise the original checkpoint at its load, and take all hidden states."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    ids, _ = samples(length)
    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )

    def load() -> Any:
        return AutoModelForCausalLM.from_pretrained(
            checkpoint, quantization_config=how, device_map=device, dtype=torch.bfloat16
        )

    def capture(model: Any) -> None:
        for row in ids:
            rows = torch.from_numpy(row.astype(np.int64))[None].to(device)
            with torch.no_grad():
                found = model(rows, output_hidden_states=True, use_cache=False).hidden_states
            for n in layers:
                found[n + 1].cpu()

    return timed("transformers + bitsandbytes", device, before, ids.size, load, capture)


def samples(length: int) -> tuple[Any, Any]:
    """Return int32 ids ``[SAMPLES, length]`` and int64 offsets ``[SAMPLES + 1]``."""
    ids = np.random.default_rng(0).integers(3, SHAPE["vocab_size"], (SAMPLES, length))
    return ids.astype(np.int32), np.arange(SAMPLES + 1, dtype=np.int64) * length


def timed(
    side: str,
    device: str,
    before: int,
    tokens: int,
    load: Callable[[], Any],
    capture: Callable[[Any], None],
) -> Outcome:
    """Load and capture in this process, held to :data:`ALLOWED`; others use ``before`` bytes."""
    import torch

    before = taken(device) if device == "cpu" else before
    if device == "cuda":
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, ALLOWED / total))
    try:
        with Peak(device, before) as peak:
            start = time.perf_counter()
            model = load()
            synchronise(device)
            loaded = time.perf_counter()
            bytes_loaded = taken(device) - before
            capture(model)
            synchronise(device)
            end = time.perf_counter()
    except RuntimeError as error:
        return Outcome(side, failed=str(error).splitlines()[0])
    return Outcome(
        side,
        load_seconds=loaded - start,
        loaded_bytes=bytes_loaded,
        capture_seconds=end - loaded,
        tokens_per_second=tokens / (end - loaded),
        peak_bytes=peak.bytes,
    )


def synchronise(device: str) -> None:
    """Wait until the device has done what it was told."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def others(device: str) -> int:
    """Return the bytes that others use of the GPU, by its driver: no context is made for it."""
    if device == "cpu":
        return 0
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    told = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return int(told.split()[0]) * 2**20


def _serve(pipe: Connection, side: Callable[..., Outcome], arguments: tuple[Any, ...]) -> None:
    pipe.send(side(*arguments))


def in_a_process(side: Callable[..., Outcome], *arguments: Any) -> Outcome:
    """Run a side in a process of its own, which ends with its CUDA context."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(there, side, arguments))
    process.start()
    there.close()
    try:
        found: Outcome = here.recv()
    except EOFError:
        process.join()
        found = Outcome(side.__name__, failed=f"ended with status {process.exitcode}")
    process.join()
    return found


def report(found: list[Outcome], preparing: float, device: str, length: int) -> dict[str, Any]:
    """Print the table, and return what is written."""
    table = Table(
        *("", "load s", "loaded GiB", "capture s", "tokens/s", "peak GiB"),
        title=f"int4, held to {ALLOWED / GIB:.0f} GiB, {SAMPLES} × {length} tokens, {device}",
    )
    for each in found:
        if each.failed:
            table.add_row(each.side, f"failed: {each.failed}")
            continue
        table.add_row(
            each.side,
            f"{each.load_seconds:.1f}",
            f"{each.loaded_bytes / GIB:.2f}",
            f"{each.capture_seconds:.1f}",
            f"{each.tokens_per_second:.0f}",
            f"{each.peak_bytes / GIB:.2f}",
        )
    Console().print(table)
    mine = found[0]
    met = mine.failed is None and mine.load_seconds < LOAD_SECONDS and mine.peak_bytes < ALLOWED
    Console().print(f"prepared once in {preparing:.0f} s; targets met: {'yes' if met else 'no'}")
    return {
        "device": device,
        "targets": {"load_seconds": LOAD_SECONDS, "peak_bytes": ALLOWED},
        "met": met,
        "prepare_seconds": round(preparing, 1),
        "sides": [asdict(each) for each in found],
    }


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens of a sample")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--home", type=Path, help="a directory with 20 GB free; default: temporary")
    parser.add_argument("--out", type=Path, help="where to write the figures besides")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "There is no CUDA GPU here; --layers 1 --length 16 --device cpu walks without one."
        )
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "cpu"
    with tempfile.TemporaryDirectory(dir=asked.home) as scratch:
        home = Path(scratch)
        make_checkpoint(home / "checkpoint", asked.layers, SHAPE)
        start = time.perf_counter()
        artifact = _prepare(home, home / "cache")
        preparing = time.perf_counter() - start
        layers = sorted({0, asked.layers // 2, asked.layers - 1})
        arguments = (artifact, home / "checkpoint", asked.device, layers, asked.length)
        found = [in_a_process(side, *arguments, others(asked.device)) for side in (ours, theirs)]
    outcome = report(found, preparing, name, asked.length)
    if asked.out:
        asked.out.write_text(json.dumps(outcome, indent=1), encoding="utf-8")
    if asked.device == "cuda" and (asked.layers, asked.length) == (LAYERS, LENGTH):
        write_result("gpu_loading", outcome)


if __name__ == "__main__":
    main()
