"""Checkpoints that were quantised before they came: kept as they are, or refused by their name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mistudio_contracts import Dtype, Quantization
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import Int4Type
from mistudio_contracts.values import QuantizationOptions

FORMATS: dict[str, dict[str, Any]] = {
    "int8": {"load_in_8bit": True},
    "nf4": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    },
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
}


@pytest.fixture(scope="module")
def saved(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return a function that gives what transformers saves of a quantised model."""
    root = tmp_path_factory.mktemp("quantized")

    def get(family: str, kind: str) -> Path:
        path = root / f"{family}-{kind}"
        if not path.exists():
            from transformers import AutoModelForCausalLM, BitsAndBytesConfig

            source = Path(tiny_model(family))
            model: Any = AutoModelForCausalLM.from_pretrained(
                source,
                quantization_config=BitsAndBytesConfig(**FORMATS[kind]),
                dtype=torch.bfloat16,
                device_map="cpu",
            )
            model.save_pretrained(path)
            shutil.copy(source / "tokenizer.json", path)
        return path

    return get


@pytest.fixture
def quantized(saved: Any, roots: Path) -> Callable[[str, str], Path]:
    def copy(family: str, kind: str) -> Path:
        return Path(shutil.copytree(saved(family, kind), roots / "quantized"))

    return copy


@pytest.mark.parametrize(
    ("family", "kind", "quantization", "options"),
    [
        ("gpt2", "int8", Quantization.INT8, QuantizationOptions()),
        ("llama", "nf4", Quantization.INT4, QuantizationOptions()),
        (
            "llama",
            "fp4",
            Quantization.INT4,
            QuantizationOptions(int4_type=Int4Type.FP4, double_quant=False),
        ),
    ],
)
def test_what_bitsandbytes_made_is_kept_byte_for_byte(
    prepare: Any,
    quantized: Any,
    tiny_model: Any,
    family: str,
    kind: str,
    quantization: Quantization,
    options: QuantizationOptions,
) -> None:
    from transformers import AutoConfig

    from mistudio_capture.files import TensorFiles
    from mistudio_capture.loading import plan

    source = quantized(family, kind)
    prepared = prepare(source)
    made = prepare.directory(prepared)
    assert (made / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (prepared.artifact.quantization, prepared.artifact.dtype) == (
        quantization,
        Dtype.BFLOAT16,
    )
    assert prepared.options == options
    original = load_file(Path(tiny_model(family)) / "model.safetensors")
    assert prepared.facts.parameter_count == sum(t.numel() for t in original.values())
    assert json.loads((made / "config.json").read_text())["quantization_config"]
    # The extractor fills a decoder with it, and every layer of its blocks is quantised.
    filled = plan(AutoConfig.from_pretrained(made), TensorFiles(made), torch.bfloat16)
    assert len(filled.quantized) == 4 * (4 if family == "gpt2" else 7)
    filled.fill(torch.device("cpu"))
    # Asked for by its own name it is the same artifact.
    assert prepare(source, quantization=quantization).artifact == prepared.artifact


@pytest.mark.parametrize("wanted", [Quantization.BF16, Quantization.INT8])
def test_another_format_than_the_stored_one_is_refused(
    prepare: Any, quantized: Any, wanted: Quantization
) -> None:
    with pytest.raises(InvalidInput) as caught:
        prepare(quantized("llama", "nf4"), quantization=wanted)
    details = caught.value.details
    assert (details["field"], details["reason"]) == ("quantization", "already_quantized")
    assert "none or int4" in details["remedy"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"quant_method": "gptq", "bits": 4}, "GPTQ"),
        ({"quant_method": "awq", "bits": 4}, "AWQ"),
        ({"quant_method": "fp8"}, "FP8"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ({"quant_method": "brand_new"}, "brand_new"),
        ({"bits": 4}, "unnamed"),
        (["gptq"], "form of its own"),
        (
            {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_quant_storage": "bfloat16",
            },
            "bfloat16",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(
    prepare: Any, checkpoint: Any, configure: Any, body: Any, named: str
) -> None:
    source = checkpoint("llama")
    configure(source, quantization_config=body)
    with pytest.raises(InvalidInput) as caught:
        prepare(source)
    assert caught.value.details["reason"] == "already_quantized"
    assert named in caught.value.message
    assert "original" in caught.value.details["remedy"]


@pytest.mark.parametrize(
    "part", [".absmax", ".quant_map", ".nested_absmax", ".quant_state.bitsandbytes__nf4"]
)
def test_a_quantised_weight_without_its_scales_is_refused(
    prepare: Any, quantized: Any, part: str
) -> None:
    source = quantized("llama", "nf4")
    path = source / "model.safetensors"
    tensors = load_file(path)
    gone = next(name for name in sorted(tensors) if name.endswith(f".weight{part}"))
    del tensors[gone]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(InvalidInput) as caught:
        prepare(source)
    assert caught.value.details["reason"] == "missing_tensors"
    assert caught.value.details["missing"] == [gone]
