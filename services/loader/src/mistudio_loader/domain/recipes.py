"""What int8 and int4 do to a checkpoint: the recipe, and what the config then says."""

from __future__ import annotations

from typing import Any

from mistudio_contracts import Quantization
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.values import QuantizationOptions

QUANTIZED: frozenset[Quantization] = frozenset({Quantization.INT8, Quantization.INT4})

FUSED_EXPERTS: frozenset[str] = frozenset({"mixtral"})
"""Families whose experts lie in one tensor of three dimensions."""

HEADS = ["lm_head", "embed_out"]
"""Layers outside the blocks, which keep their dtype."""


def check_family(model_type: str, quantization: Quantization) -> None:
    """Refuse a family that bitsandbytes cannot quantise.

    Raises
    ------
    InvalidInput
        ``reason`` is ``fused_experts``.
    """
    if quantization in QUANTIZED and model_type in FUSED_EXPERTS:
        raise InvalidInput(
            f"{model_type} cannot be quantised: its experts lie in one tensor, and bitsandbytes "
            "quantises matrices.",
            field="quantization",
            reason="fused_experts",
            remedy="Use bf16 or fp16.",
        )


def quantization_config(
    quantization: Quantization, options: QuantizationOptions
) -> dict[str, Any] | None:
    """Return what transformers needs in ``config.json`` to load the artifact; None for floats.

    The threshold of 0 lets transformers, too, run int8 without looking for outliers in the batch.
    """
    if quantization not in QUANTIZED:
        return None
    eight = quantization is Quantization.INT8
    body: dict[str, Any] = {
        "quant_method": "bitsandbytes",
        "load_in_8bit": eight,
        "load_in_4bit": not eight,
        "llm_int8_skip_modules": HEADS,
    }
    if eight:
        return {**body, "llm_int8_threshold": 0.0}
    return {
        **body,
        "bnb_4bit_quant_type": options.int4_type.value,
        "bnb_4bit_use_double_quant": options.double_quant,
        "bnb_4bit_compute_dtype": "float32",
    }
