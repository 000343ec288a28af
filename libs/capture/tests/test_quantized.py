"""Quantised weights: bytes and values are those of transformers with bitsandbytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bitsandbytes.functional as bnb
import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from mistudio_capture import FAMILIES, CaptureModel
from mistudio_capture.families import FUSED_EXPERTS
from mistudio_capture.linear import Int4Linear, Int8Linear
from mistudio_capture.quantize import Recipe
from mistudio_capture.structure import find_blocks

from .conftest import Captured, ModelOf, Shard, captured, worst
from .quantized import dequantize, parts_of, quantized

POINTS = tuple(f"layers.{n}.resid_post" for n in (0, 2, 3))
RECIPES = {
    "int8": Recipe(8),
    "nf4": Recipe(4, "nf4", double_quant=False),
    "nf4_double": Recipe(4, "nf4"),
    "fp4_double": Recipe(4, "fp4"),
}
THEIRS_NOT = ("falcon",)
"""Whose own class of linear layer transformers does not quantise."""
CAN = [family for family in FAMILIES if family not in FUSED_EXPERTS]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_transformers_with_bitsandbytes_saves_the_same_bytes(
    model_of: ModelOf, tmp_path: Path, family: str, recipe: str
) -> None:
    from safetensors.torch import load_file

    wanted = RECIPES[recipe]
    settings: dict[str, Any] = {"load_in_8bit": True}
    if wanted.bits == 4:
        settings = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": wanted.int4_type,
            "bnb_4bit_use_double_quant": wanted.double_quant,
        }
    theirs = AutoModelForCausalLM.from_pretrained(
        model_of(family),
        quantization_config=BitsAndBytesConfig(**settings),
        dtype=torch.float32,
        device_map="cpu",
    )
    theirs.save_pretrained(tmp_path / "theirs")
    expected = load_file(tmp_path / "theirs" / "model.safetensors")
    found = load_file(quantized(model_of(family), tmp_path / "ours", wanted) / "model.safetensors")
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        if ".quant_state." in name:
            assert _json(found[name]) == _json(tensor)
        else:
            assert torch.equal(found[name].view(tensor.shape), tensor), name


@pytest.mark.parametrize("family", [f for f in CAN if f not in THEIRS_NOT])
def test_int4_values_equal_transformers_with_bitsandbytes(
    model_of: ModelOf, shard: Shard, tmp_path: Path, family: str
) -> None:
    path = quantized(model_of(family), tmp_path / "nf4", RECIPES["nf4_double"])
    found = captured(CaptureModel.load(path), shard, POINTS)
    expected = _plain(path, shard)
    for point in POINTS:
        assert worst(found[point], expected[point]) < 1e-5, point


@pytest.mark.parametrize("family", CAN)
def test_int8_values_equal_plain_transformers_with_rounded_weights(
    model_of: ModelOf, shard: Shard, tmp_path: Path, family: str
) -> None:
    path = quantized(model_of(family), tmp_path / "int8", RECIPES["int8"])
    found = captured(CaptureModel.load(path), shard, POINTS)
    expected = _plain(model_of(family), shard, rounded=True)
    for point in POINTS:
        assert worst(found[point], expected[point]) < 1e-5, point


@pytest.mark.parametrize("recipe", ["int8", "nf4_double"])
def test_a_sample_is_the_same_in_any_company(
    model_of: ModelOf, shard: Shard, tmp_path: Path, recipe: str
) -> None:
    """Also in bfloat16, where bitsandbytes' own product takes another kernel for a single row."""
    model = CaptureModel.load(quantized(model_of("llama"), tmp_path / "q", RECIPES[recipe]))
    alone = captured(model, shard, POINTS, token_budget=1)
    together = captured(model, shard, POINTS, token_budget=10_000)
    for point in POINTS:
        assert worst(together[point], alone[point]) < 1e-5


def test_blocks_on_the_disk_give_the_same_values(
    model_of: ModelOf, shard: Shard, tmp_path: Path
) -> None:
    """Quantised, and experts that are stored one by one."""
    for path in (
        quantized(model_of("llama"), tmp_path / "nf4", RECIPES["nf4_double"]),
        model_of("mixtral"),
    ):
        whole, part = CaptureModel.load(path), CaptureModel.load(path, offload_blocks=3)
        assert part.memory_bytes < whole.memory_bytes
        found, expected = (captured(model, shard, POINTS) for model in (part, whole))
        for point in POINTS:
            assert torch.equal(found[point], expected[point])
        assert part.memory_bytes == CaptureModel.load(path, offload_blocks=3).memory_bytes


@given(rows=st.integers(1, 70), columns=st.integers(1, 20).map(lambda n: 8 * n))
def test_int4_of_any_shape_comes_back(rows: int, columns: int) -> None:
    """Against the definition: bitsandbytes' kernel for CPUs is wrong for some shapes."""
    matrix = torch.from_numpy(np.random.default_rng(rows).normal(size=(rows, columns))).float()
    layer = Int4Linear(columns, rows, bias=False)
    layer.fill(
        {k.removeprefix(".weight"): v for k, v in parts_of("", matrix, RECIPES["nf4"]).items()}
    )
    codes, state = bnb.quantize_4bit(matrix, quant_type="nf4")
    pairs = torch.stack([codes.view(-1) >> 4, codes.view(-1) & 15], dim=1).view(-1)
    scales = state.absmax.repeat_interleave(64)[: matrix.numel()]
    expected = (state.code[pairs.long()][: matrix.numel()] * scales).view(matrix.shape)
    assert torch.allclose(layer.dequantized(torch.float32), expected, rtol=0, atol=1e-6)


def test_int8_is_within_half_a_step_of_each_rows_largest() -> None:
    matrix = torch.randn(70, 33, generator=torch.Generator().manual_seed(0))
    layer = Int8Linear(33, 70, bias=False)
    made = parts_of("", matrix, RECIPES["int8"])
    layer.fill({"": made[".weight"], "SCB": made[".SCB"]})
    step = matrix.abs().amax(dim=1, keepdim=True) / 127
    assert ((layer.dequantized(torch.float32) - matrix).abs() <= 0.51 * step + 1e-3).all()


def _json(raw: torch.Tensor) -> Any:
    import json

    return json.loads(raw.numpy().tobytes())


@torch.inference_mode()
def _plain(path: Path, shard: Shard, *, rounded: bool = False) -> Captured:
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    blocks = find_blocks(model, model.config.num_hidden_layers)
    for module in blocks.modules():
        # Where the processor can, bitsandbytes multiplies in bfloat16: no reference in float32.
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
    if rounded:
        dequantize(blocks)
    kept: dict[str, list[torch.Tensor]] = {point: [] for point in POINTS}

    def keep(point: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            kept[point].append(hidden[0].clone())

        return hook

    for point in POINTS:
        blocks[int(point.split(".")[1])].register_forward_hook(keep(point))
    for i in range(shard.samples):
        model(torch.from_numpy(shard.sample(i).astype(np.int64))[None], use_cache=False)
    return {point: torch.cat(rows) for point, rows in kept.items()}
