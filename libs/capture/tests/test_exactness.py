"""What is captured is what plain transformers computes, one sample at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mistudio_capture import FAMILIES, CaptureError, CaptureModel

from .conftest import LENGTHS, WINDOW, ModelOf, Shard, captured, plain, shard_of, worst

LAYERS = (0, 2, 3)
POINTS = tuple(f"layers.{n}.resid_post" for n in LAYERS)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_float32_equals_plain_transformers(
    model_of: ModelOf, shard: Shard, family: str, attention: str
) -> None:
    path = model_of(family)
    expected = plain(path, shard, LAYERS, attention=attention)
    found = captured(CaptureModel.load(path), shard, POINTS)
    for point in POINTS:
        assert worst(found[point], expected[point]) < 1e-5, point


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_as_near_to_float32_as_plain_transformers(
    model_of: ModelOf, shard: Shard, family: str, dtype: torch.dtype
) -> None:
    path = model_of(family)
    model = CaptureModel.load(path, dtype=dtype)
    assert model.dtype is dtype
    exact = plain(path, shard, LAYERS, weights=dtype)
    theirs = plain(path, shard, LAYERS, dtype=dtype)
    found = captured(model, shard, POINTS, dtype=dtype)
    for point in POINTS:
        assert found[point].dtype is dtype
        assert 0 < worst(found[point], exact[point]) < 1.25 * worst(theirs[point], exact[point])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_is_the_same_in_any_company(model_of: ModelOf, shard: Shard, family: str) -> None:
    model = CaptureModel.load(model_of(family))
    alone = captured(model, shard, POINTS, token_budget=1)
    for most in (None, 2):
        together = captured(model, shard, POINTS, token_budget=10_000, batch_size=most)
        for point in POINTS:
            assert worst(together[point], alone[point]) < 1e-5


def test_neighbours_leave_no_trace(gpt2: CaptureModel) -> None:
    """The first sample's rows stay bit for bit when its neighbours' tokens change."""
    one, other = shard_of(LENGTHS, seed=1), shard_of(LENGTHS, seed=2)
    other.input_ids[: LENGTHS[0]] = one.input_ids[: LENGTHS[0]]
    first = [
        captured(gpt2, s, POINTS, token_budget=10_000)[POINTS[-1]][: LENGTHS[0]]
        for s in (one, other)
    ]
    assert torch.equal(first[0], first[1])


def test_mistral_looks_back_no_further_than_its_window(model_of: ModelOf) -> None:
    """Beyond four windows of four blocks nothing of the first token is left; GPT-2 keeps it."""
    length = 4 * WINDOW + 4
    one, other = shard_of([length]), shard_of([length])
    other.input_ids[0] = (int(one.input_ids[0]) + 1) % 512
    point = "layers.3.resid_post"
    differs = {}
    for family in ("gpt2", "mistral"):
        model = CaptureModel.load(model_of(family))
        a, b = (captured(model, s, [point])[point][-1] for s in (one, other))
        differs[family] = not torch.equal(a, b)
    assert differs == {"gpt2": True, "mistral": False}


def test_the_last_column_is_the_raw_output_of_the_last_block(
    model_of: ModelOf, shard: Shard
) -> None:
    """Not ``hidden_states[-1]``, to which the final norm is applied."""
    found = captured(CaptureModel.load(model_of("gpt2")), shard, ["layers.3.resid_post"])
    variances = found["layers.3.resid_post"].var(dim=1, unbiased=False)
    assert not torch.allclose(variances, torch.ones_like(variances), atol=0.1)


def test_rows_are_cast_to_the_stores_dtype(gpt2: CaptureModel, shard: Shard) -> None:
    whole = captured(gpt2, shard, POINTS)
    half = captured(gpt2, shard, POINTS, dtype=torch.float16)
    for point in POINTS:
        assert torch.equal(half[point], whole[point].half())


def test_the_same_shard_gives_the_same_bytes(model_of: ModelOf, shard: Shard) -> None:
    runs: list[Any] = []
    for _ in range(2):
        found = captured(CaptureModel.load(model_of("llama")), shard, POINTS)
        runs.append({point: rows.numpy().tobytes() for point, rows in found.items()})
    assert runs[0] == runs[1]


@pytest.mark.parametrize("lacking", ["block_sparse_moe.experts.2.w3", "block_sparse_moe.gate"])
def test_an_expert_or_a_router_that_is_missing_is_named(
    model_of: ModelOf, tmp_path: Path, lacking: str
) -> None:
    path = tmp_path / "mixtral"
    shutil.copytree(model_of("mixtral"), path)
    tensors = load_file(path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if f"layers.1.{lacking}" not in name}
    save_file(kept, path / "model.safetensors")
    with pytest.raises(CaptureError, match=r"layers\.1\.mlp"):
        CaptureModel.load(path)
