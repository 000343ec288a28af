"""Every count is the count of the family's own module, built without weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from mistudio_footprint import DecoderShape, UnknownFamily
from mistudio_footprint.families import FAMILIES
from mistudio_testkit.models import TINY

from .published import PUBLISHED, VARIANTS

TINIES = {f"tiny {f}": {"model_type": f, "vocab_size": 320, **c} for f, c in TINY.items()}
CONFIGS = {**PUBLISHED, **VARIANTS, **TINIES}


def built(config: dict[str, Any], kind: Any) -> Any:
    settings = {key: value for key, value in config.items() if key != "model_type"}
    parsed = AutoConfig.for_model(config["model_type"], **settings)
    with torch.device("meta"):
        return kind.from_config(parsed)


def elements(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_decoder_and_the_whole_model_have_as_many_parameters_as_counted(name: str) -> None:
    parameters = DecoderShape.from_config(CONFIGS[name]).layout

    assert parameters.decoder == elements(built(CONFIGS[name], AutoModel))
    assert parameters.model == elements(built(CONFIGS[name], AutoModelForCausalLM))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_matrices_are_the_linear_layers_of_a_block(name: str) -> None:
    shape = DecoderShape.from_config(CONFIGS[name])
    decoder = built(CONFIGS[name], AutoModel)
    (block, *_) = next(
        m for m in decoder.modules() if isinstance(m, nn.ModuleList) and len(m) == shape.layers
    )

    found = [
        (m.nf, m.nx, True)
        if isinstance(m, Conv1D)
        else (m.out_features, m.in_features, m.bias is not None)
        for m in block.modules()
        if isinstance(m, (nn.Linear, Conv1D))
    ]

    counted = [(m.rows, m.columns, m.bias) for m in shape.layout.matrices]
    assert sorted(counted) == sorted(found)
    assert shape.layout.block == elements(block)


def test_every_family_that_is_prepared_is_known() -> None:
    assert set(FAMILIES) == set(TINY)
    assert {config["model_type"] for config in PUBLISHED.values()} == set(FAMILIES)


def test_gemma_3_with_vision_is_read_by_its_text_config() -> None:
    inner = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    shape = DecoderShape.from_config({"model_type": "gemma3", "text_config": inner})

    assert (shape.model_type, shape.heads, shape.kv_heads) == ("gemma3_text", 8, 4)
    assert shape.layout == DecoderShape.from_config({"model_type": "gemma3_text", **inner}).layout


def test_a_family_that_is_not_known_is_named() -> None:
    with pytest.raises(UnknownFamily, match="mamba"):
        DecoderShape.from_config({"model_type": "mamba", "hidden_size": 64})


@pytest.mark.parametrize("value", [0, -1, "64", True, 1.5])
def test_a_dimension_that_is_no_positive_number_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="n_embd"):
        DecoderShape.from_config({**PUBLISHED["gpt2"], "n_embd": value})
