"""Artifacts quantised in memory, for the tests of those who load them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig
from transformers.pytorch_utils import Conv1D

from mistudio_capture.quantize import Recipe, parts, quantize, rows_at_once
from mistudio_capture.skeleton import build, linear_layers
from mistudio_capture.structure import find_blocks


def quantized(source: Path, target: Path, recipe: Recipe) -> Path:
    """Write ``source`` quantised at ``target`` and return it."""
    config = AutoConfig.from_pretrained(source)
    decoder = build(config, torch.float32)
    blocks = find_blocks(decoder, config.num_hidden_layers)
    weights = load_file(source / "model.safetensors")
    found: dict[str, torch.Tensor] = {}
    layers = dict(linear_layers(decoder, blocks))
    for name, tensor in weights.items():
        layer = next((n for n in layers if name.endswith(f"{n}.weight")), None)
        if layer is None:
            found[name] = tensor
            continue
        matrix = tensor.T.contiguous() if isinstance(layers[layer], Conv1D) else tensor
        found |= parts_of(name.removesuffix(".weight"), matrix, recipe)
    target.mkdir(parents=True)
    save_file(found, target / "model.safetensors", {"format": "pt"})
    body = json.loads((source / "config.json").read_text())
    body["quantization_config"] = config_of(recipe)
    (target / "config.json").write_text(json.dumps(body))
    return target


def parts_of(prefix: str, matrix: torch.Tensor, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return the parts of one weight ``[out_features, in_features]``."""
    shape = (matrix.shape[0], matrix.shape[1])
    made = {p.suffix: torch.zeros(p.shape, dtype=p.dtype) for p in parts(recipe, shape)}
    pieces = matrix.split(rows_at_once(shape[1]))
    for suffix, start, values in quantize(recipe, pieces, shape, matrix.dtype):
        made[suffix].view(-1)[start : start + values.numel()] = values
    return {prefix + suffix: tensor for suffix, tensor in made.items()}


def config_of(recipe: Recipe) -> dict[str, object]:
    """Return what transformers needs to load it."""
    return {
        "quant_method": "bitsandbytes",
        "load_in_8bit": recipe.bits == 8,
        "load_in_4bit": recipe.bits == 4,
        "bnb_4bit_quant_type": recipe.int4_type,
        "bnb_4bit_use_double_quant": recipe.double_quant,
        "bnb_4bit_compute_dtype": "float32",
        "llm_int8_threshold": 0.0,
        "llm_int8_skip_modules": ["lm_head", "embed_out"],
    }


def dequantize(decoder: nn.Module) -> nn.Module:
    """Round each linear layer of a float model's blocks to int8 and back, as int8 stores it."""
    for module in decoder.modules():
        if isinstance(module, (nn.Linear, Conv1D)):
            with torch.no_grad():
                rows = 0 if isinstance(module, nn.Linear) else 1
                half = module.weight.half().float()
                scale = half.abs().amax(dim=1 - rows, keepdim=True)
                module.weight.copy_((half * (127.0 / scale)).round() * (scale / 127.0))
    return decoder
