"""The others' side, each as its documentation shows it and with what it offers to be quick.

Runs in ``.venv-peers`` (``deploy/dev/peers``), so it imports nothing of ours. Every job leaves
``<hook point>.npy``, ``[tokens, width]`` in the order of the samples, but SAELens's, which writes
its own layout.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .data import MODEL, Setting, load, samples

Job = Any


def transformers_hooks(home: Path, name: str) -> Job:
    """``AutoModelForCausalLM`` with hooks on the blocks; batches of 32 in order of arrival."""
    return _hooked(home, name, "hooks", lambda lengths: list(range(len(lengths))))


def transformers_sorted(home: Path, name: str) -> Job:
    """The same, samples sorted by length before they are cut into batches."""
    order = lambda lengths: sorted(range(len(lengths)), key=lambda i: -lengths[i])  # noqa: E731
    return _hooked(home, name, "sorted", order)


def _hooked(home: Path, name: str, target: str, order: Any) -> Job:
    import torch
    from transformers import AutoModelForCausalLM

    setting = Setting.of(home)
    torch.set_num_threads(setting.threads)
    found = samples(home, name)
    dtype = getattr(torch, setting.dtype)
    model: Any = AutoModelForCausalLM.from_pretrained(home / MODEL, dtype=dtype)
    model = model.to(setting.device).eval()
    blocks = model.transformer.h if setting.family == "gpt2" else model.model.layers
    seen: dict[str, Any] = {}

    def keep(point: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            seen[point] = (output[0] if isinstance(output, tuple) else output).clone()

        return hook

    for layer, point in zip(setting.captured, setting.points, strict=True):
        blocks[layer].register_forward_hook(keep(point))
    turns = order([len(s) for s in found])

    def run(padded: Any, mask: Any) -> dict[str, Any]:
        model(input_ids=padded, attention_mask=mask.long(), use_cache=False)
        return seen

    return _padded_job(setting, home / name / target, found, turns, run)


def nnsight(home: Path, name: str) -> Job:
    """A trace that saves the blocks' outputs, as its guide shows; batches of 32."""
    return _nnsight(home, name, "nnsight", stop=False)


def nnsight_stopped(home: Path, name: str) -> Job:
    """The same, stopped by hand after the last block: no norm and no head."""
    return _nnsight(home, name, "nnsight-stopped", stop=True)


def _nnsight(home: Path, name: str, target: str, *, stop: bool) -> Job:
    import torch
    from nnsight import LanguageModel, save
    from transformers import AutoModelForCausalLM, AutoTokenizer

    setting = Setting.of(home)
    torch.set_num_threads(setting.threads)
    found = samples(home, name)
    dtype = getattr(torch, setting.dtype)
    plain: Any = AutoModelForCausalLM.from_pretrained(home / MODEL, dtype=dtype)
    plain = plain.to(setting.device).eval()
    model = LanguageModel(plain, tokenizer=AutoTokenizer.from_pretrained(home / MODEL))
    blocks = model.transformer.h if setting.family == "gpt2" else model.model.layers

    def run(padded: Any, mask: Any) -> dict[str, Any]:
        with model.trace({"input_ids": padded, "attention_mask": mask.long()}) as tracer:
            # The list itself must be saved: names that the trace binds are else lost with it.
            saved = save([])
            for layer in setting.captured:
                saved.append(blocks[layer].output)
            if stop:
                tracer.stop()
        outputs = [o[0] if isinstance(o, tuple) else o for o in saved]
        return dict(zip(setting.points, outputs, strict=True))

    return _padded_job(setting, home / name / target, found, range(len(found)), run)


def transformer_lens(home: Path, name: str) -> Job:
    """``HookedTransformer.run_with_cache`` with a filter, as its guide shows."""
    return _transformer_lens(home, name, "lens", stop=False)


def transformer_lens_stopped(home: Path, name: str) -> Job:
    """The same, stopped by hand after the last block: no norm and no head."""
    return _transformer_lens(home, name, "lens-stopped", stop=True)


def _transformer_lens(home: Path, name: str, target: str, *, stop: bool) -> Job:
    import torch
    from transformer_lens import HookedTransformer

    os.chdir(home)
    setting = Setting.of(home)
    torch.set_num_threads(setting.threads)
    found = samples(home, name)
    model = HookedTransformer.from_pretrained_no_processing(
        MODEL, device=setting.device, dtype=getattr(torch, setting.dtype)
    )
    points = zip(setting.captured, setting.points, strict=True)
    names = {f"blocks.{n}.hook_resid_post": point for n, point in points}

    def run(padded: Any, mask: Any) -> dict[str, Any]:
        _, cache = model.run_with_cache(
            padded,
            attention_mask=mask.long(),
            padding_side="right",
            names_filter=list(names),
            stop_at_layer=setting.captured[-1] + 1 if stop else None,
            return_type=None,
        )
        return {names[name]: cache[name] for name in names}

    return _padded_job(setting, home / name / target, found, range(len(found)), run)


def sae_lens(home: Path, name: str) -> Job:
    """``CacheActivationsRunner``, which knows one hook a run and rows of one length.

    So it runs three times, and ragged samples are joined and cut as it does with texts, which
    attend to each other then. What does not fill a row is left out, and so are its tokens.
    """
    from datasets import Dataset

    os.chdir(home)
    import torch

    setting = Setting.of(home)
    torch.set_num_threads(setting.threads)
    ids, offsets = load(home, name)
    length = int(np.diff(offsets).max())
    rows = ids[: ids.size // length * length].reshape(-1, length)
    dataset = Dataset.from_dict({"input_ids": rows.tolist()})
    batch = max(n for n in range(1, 1 + min(setting.batch, len(rows))) if len(rows) % n == 0)
    target = home / name / "saelens"
    runners = [_runner(setting, target, n, rows.shape, batch) for n in setting.captured]

    def job() -> None:
        for config, make in runners:
            shutil.rmtree(config.new_cached_activations_path, ignore_errors=True)
            make(dataset).run()

    return job


def _runner(
    setting: Setting, target: Path, layer: int, shape: tuple[int, ...], batch: int
) -> tuple[Any, Any]:
    from sae_lens import CacheActivationsRunner, CacheActivationsRunnerConfig
    from sae_lens.cache_activations_runner import _mk_activations_store

    tokens, length = shape[0] * shape[1], shape[1]
    config = CacheActivationsRunnerConfig(
        dataset_path="given",
        model_name=MODEL,
        model_batch_size=batch,
        hook_name=f"blocks.{layer}.hook_resid_post",
        d_in=setting.width,
        training_tokens=tokens,
        context_size=length,
        new_cached_activations_path=str(target / str(layer)),
        shuffle=False,
        dtype=setting.dtype,
        device=setting.device,
        prepend_bos=False,
        streaming=False,
        buffer_size_gb=tokens * setting.width * 4 / 1e9 + 1e-6,
    )
    runner = CacheActivationsRunner(config, override_dataset=_nothing(length))

    def make(dataset: Any) -> Any:
        # The model is loaded once, as ours is; each run reads the dataset from its beginning.
        runner.activations_store = _mk_activations_store(runner.model, config, dataset)
        return runner

    return config, make


def _nothing(length: int) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [[0] * length]})


def _padded_job(
    setting: Setting, target: Path, found: Sequence[Any], turns: Sequence[int], run: Any
) -> Job:
    """Return a job that runs batches padded on the right and keeps the rows of real tokens."""
    import torch

    target.mkdir(exist_ok=True)

    @torch.no_grad()
    def job() -> None:
        rows: dict[str, list[Any]] = {point: [None] * len(found) for point in setting.points}
        for start in range(0, len(found), setting.batch):
            chosen = turns[start : start + setting.batch]
            padded = torch.nn.utils.rnn.pad_sequence([found[i] for i in chosen], batch_first=True)
            lengths = torch.tensor([len(found[i]) for i in chosen])
            mask = torch.arange(padded.shape[1])[None] < lengths[:, None]
            outputs = run(padded.to(setting.device), mask.to(setting.device))
            for point in setting.points:
                host = outputs[point].to("cpu", copy=True)
                for at, i in enumerate(chosen):
                    rows[point][i] = host[at, : len(found[i])]
        for point in setting.points:
            # numpy has no bfloat16: its bits are kept.
            whole = torch.cat(rows[point])
            bits = whole if whole.dtype is torch.float32 else whole.view(torch.int16)
            np.save(target / f"{point}.npy", bits.numpy())

    return job
