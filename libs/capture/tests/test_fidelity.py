"""The fidelity report is what two whole models in plain transformers would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from mistudio_capture import FAMILIES
from mistudio_capture.families import FUSED_EXPERTS
from mistudio_capture.fidelity import compare
from mistudio_capture.files import TensorFiles
from mistudio_capture.quantize import Recipe
from mistudio_capture.structure import find_blocks

from .conftest import ModelOf
from .quantized import dequantize, quantized

IDS = torch.from_numpy(np.random.default_rng(0).integers(0, 512, 40))
CAN = [family for family in FAMILIES if family not in FUSED_EXPERTS]


@torch.inference_mode()
def whole(path: Path, *, rounded: bool) -> tuple[list[torch.Tensor], float]:
    """Return every block's output and the loss of plain transformers, weights rounded or not."""
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    blocks = find_blocks(model, model.config.num_hidden_layers)
    if rounded:
        dequantize(blocks)
    kept: list[torch.Tensor] = []
    for block in blocks:
        block.register_forward_hook(
            lambda _m, _i, out: kept.append((out[0] if isinstance(out, tuple) else out)[0].clone())
        )
    loss = model(IDS[None], labels=IDS[None], use_cache=False).loss
    return kept, float(loss)


@pytest.mark.parametrize("family", CAN)
def test_int8_differs_as_rounded_weights_do(model_of: ModelOf, tmp_path: Path, family: str) -> None:
    path = model_of(family)
    made = quantized(path, tmp_path / "int8", Recipe(8))
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    found = compare(
        AutoConfig.from_pretrained(path), TensorFiles(path), TensorFiles(made), IDS, progress
    )
    reference, loss = whole(path, rounded=False)
    other, rounded_loss = whole(path, rounded=True)
    assert found.reference_perplexity == pytest.approx(np.exp(loss), rel=1e-4)
    assert found.perplexity == pytest.approx(np.exp(rounded_loss), rel=1e-4)
    assert [each.layer for each in found.layers] == [0, 1, 2, 3]
    for each, a, b in zip(found.layers, reference, other, strict=True):
        error = float((b - a).norm() / a.norm())
        assert 0 < each.relative_error == pytest.approx(error, rel=1e-2)
        assert 1 - 2 * each.relative_error < each.cosine < 1
    assert seen == [(n, 8) for n in range(1, 9)]


def test_a_model_is_equal_to_itself(model_of: ModelOf) -> None:
    path = model_of("gpt2")
    config: Any = AutoConfig.from_pretrained(path)
    found = compare(config, TensorFiles(path), TensorFiles(path), IDS)
    assert found.perplexity == found.reference_perplexity
    assert all(each.relative_error == 0 for each in found.layers)
    assert all(each.cosine == pytest.approx(1) for each in found.layers)


def test_int4_is_farther_than_int8(model_of: ModelOf, tmp_path: Path) -> None:
    path = model_of("llama")
    config = AutoConfig.from_pretrained(path)
    errors = {}
    for bits in (8, 4):
        made = quantized(path, tmp_path / str(bits), Recipe(bits))
        difference = compare(config, TensorFiles(path), TensorFiles(made), IDS)
        errors[bits] = difference.layers[-1].relative_error
    assert 0 < errors[8] < errors[4] < 1
