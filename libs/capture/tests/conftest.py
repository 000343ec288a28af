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

from .named import EMBED, PLACES, Place

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
    """Capture a shard in memory, insisting that each of a column's rows comes once."""
    parts: dict[str, dict[int, torch.Tensor]] = {point: {} for point in points}

    def sink(point: str, start: int, rows: torch.Tensor) -> None:
        assert start not in parts[point]
        assert rows.device.type == "cpu"
        parts[point][start] = rows

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
    return {point: _whole(rows) for point, rows in parts.items()}


def _whole(parts: dict[int, torch.Tensor]) -> torch.Tensor:
    end = 0
    for start, rows in sorted(parts.items()):
        assert start == end
        end += len(rows)
    return torch.cat([rows for _, rows in sorted(parts.items())])


def plain(
    path: Path,
    shard: Shard,
    layers: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    weights: torch.dtype | None = None,
    attention: str = "sdpa",
) -> Captured:
    """Return the blocks' outputs of plain transformers, as :func:`plain_points`."""
    points = [f"layers.{n}.resid_post" for n in layers]
    return plain_points(path, shard, points, dtype=dtype, weights=weights, attention=attention)


@torch.inference_mode()
def plain_points(
    path: Path,
    shard: Shard,
    points: Sequence[str],
    *,
    dtype: torch.dtype = torch.float32,
    weights: torch.dtype | None = None,
    attention: str = "sdpa",
) -> Captured:
    """Return what plain transformers computes, one sample at a time, hooks on its modules.

    ``dtype`` is of the computation; the weights may be rounded to another before.
    """
    family = AutoModel._model_mapping[type(AutoConfig.from_pretrained(path))]
    if not family._supports_sdpa:
        attention = "eager"
    model = AutoModel.from_pretrained(path, dtype=dtype, attn_implementation=attention).eval()
    if weights is not None:
        for parameter in model.parameters():
            parameter.data = parameter.data.to(weights).to(dtype)
    parts: dict[str, list[torch.Tensor]] = {point: [] for point in points}
    for point in points:
        _listen(model, point, parts[point].append)
    for i in range(shard.samples):
        found = model(torch.from_numpy(shard.sample(i).astype(np.int64))[None], use_cache=False)
        if "final_norm" in parts:
            parts["final_norm"].append(found.last_hidden_state[0])
    return {point: torch.cat(rows) for point, rows in parts.items()}


def _listen(model: Any, point: str, keep: Callable[[torch.Tensor], None]) -> None:
    config = model.config
    if point == "final_norm":
        return
    if point == "embed":
        root, place = model, Place(EMBED.get(config.model_type, "embed_tokens"))
    else:
        _, layer, kind = point.split(".")
        root = find_blocks(model, config.num_hidden_layers)[int(layer)]
        place = PLACES[config.model_type][kind]

    def take(tensor: torch.Tensor) -> None:
        rows = tensor if place.split is None else place.split(tensor, config)
        keep(rows.reshape(-1, rows.shape[-1]).clone())

    def into(_module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        take((*args, *kwargs.values())[0])

    def out(_module: Any, _args: Any, output: Any) -> None:
        take(output[0] if isinstance(output, tuple) else output)

    module = root.get_submodule(place.path)
    if place.side == "in":
        module.register_forward_pre_hook(into, with_kwargs=True)
    else:
        module.register_forward_hook(out)


def worst(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest relative distance of a row from the row expected."""
    assert found.shape == expected.shape
    distance = (found.double() - expected.double()).norm(dim=1)
    # A padding token's embedding is all zeros.
    return float((distance / expected.double().norm(dim=1).clamp_min(1e-12)).max())
