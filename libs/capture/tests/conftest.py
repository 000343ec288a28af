"""Tiny models of each family, and what plain transformers says about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel

from mistudio_capture import CaptureModel, capture_shard
from mistudio_capture.structure import find_blocks
from mistudio_testkit.models import make_model

WINDOW = 16
LENGTHS = (5, 1, 40, 16, 17, 3, 1, 64, 5)
"""Single tokens, equal lengths, and lengths around and beyond Mistral's window."""


@dataclass(frozen=True)
class Shard:
    """Samples end to end."""

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def sample(self, index: int) -> NDArray[np.int32]:
        return self.input_ids[self.offsets[index] : self.offsets[index + 1]]

    @property
    def samples(self) -> int:
        return len(self.offsets) - 1


Captured = dict[str, torch.Tensor]
ModelOf = Callable[[str], Path]


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> ModelOf:
    """Return a family's tiny model, with weights large enough that attention is uneven."""
    made: dict[str, Path] = {}

    def model_of(family: str) -> Path:
        if family not in made:
            extra: dict[str, Any] = {"sliding_window": WINDOW} if family == "mistral" else {}
            path = tmp_path_factory.mktemp("models") / family
            made[family] = make_model(path, family, initializer_range=0.2, **extra)
        return made[family]

    return model_of


@pytest.fixture(scope="session")
def gpt2(model_of: ModelOf) -> CaptureModel:
    return CaptureModel.load(model_of("gpt2"))


def shard_of(lengths: Sequence[int], seed: int = 0) -> Shard:
    """Return random samples of the given lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.random.default_rng(seed).integers(0, 512, int(offsets[-1])).astype(np.int32)
    return Shard(ids, offsets)


@pytest.fixture(scope="session")
def shard() -> Shard:
    return shard_of(LENGTHS)


def captured(
    model: CaptureModel,
    shard: Shard,
    points: Sequence[str],
    *,
    token_budget: int = 48,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Captured:
    """Capture a shard in memory, insisting that each column's rows come in order, without gaps."""
    parts: dict[str, list[torch.Tensor]] = {point: [] for point in points}

    def sink(point: str, start: int, rows: torch.Tensor) -> None:
        assert start == sum(len(part) for part in parts[point])
        assert rows.device.type == "cpu"
        parts[point].append(rows)

    capture_shard(
        model,
        shard.input_ids,
        shard.offsets,
        points,
        sink,
        token_budget=token_budget,
        dtype=dtype,
        **options,
    )
    return {point: torch.cat(rows) for point, rows in parts.items()}


@torch.inference_mode()
def plain(
    path: Path,
    shard: Shard,
    layers: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    weights: torch.dtype | None = None,
    attention: str = "sdpa",
) -> Captured:
    """Return what plain transformers computes, one sample at a time, hooks on its blocks.

    ``dtype`` is of the computation; the weights may be rounded to another before.
    """
    family = AutoModel._model_mapping[type(AutoConfig.from_pretrained(path))]
    if not family._supports_sdpa:
        attention = "eager"
    model = AutoModel.from_pretrained(path, dtype=dtype, attn_implementation=attention).eval()
    if weights is not None:
        for parameter in model.parameters():
            parameter.data = parameter.data.to(weights).to(dtype)
    blocks = find_blocks(model, model.config.num_hidden_layers)
    parts: dict[str, list[torch.Tensor]] = {f"layers.{n}.resid_post": [] for n in layers}

    def keep(point: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            parts[point].append(hidden[0].clone())

        return hook

    for n in layers:
        blocks[n].register_forward_hook(keep(f"layers.{n}.resid_post"))
    for i in range(shard.samples):
        model(torch.from_numpy(shard.sample(i).astype(np.int64))[None], use_cache=False)
    return {point: torch.cat(rows) for point, rows in parts.items()}


def worst(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest relative distance of a row from the row expected."""
    assert found.shape == expected.shape
    distance = (found.double() - expected.double()).norm(dim=1)
    return float((distance / expected.double().norm(dim=1)).max())
