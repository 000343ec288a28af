"""Preparing as int8 and int4: bitsandbytes' own bytes, and what they cost in fidelity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from mistudio_contracts import Dtype, LoadStage, Quantization
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import Int4Type
from mistudio_contracts.values import QuantizationOptions
from mistudio_loader.storage.artifacts import ArtifactManifest
from mistudio_testkit.models import make_model

from .test_preparation_local import shard, tensors_of

FP4 = QuantizationOptions(int4_type=Int4Type.FP4, double_quant=False)
CASES: dict[str, tuple[Quantization, QuantizationOptions, dict[str, Any]]] = {
    "int8": (Quantization.INT8, QuantizationOptions(), {"load_in_8bit": True}),
    "nf4": (
        Quantization.INT4,
        QuantizationOptions(),
        {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
        },
    ),
    "fp4": (Quantization.INT4, FP4, {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}),
}


@pytest.fixture
def model(prepare: Any) -> Any:
    """Make a complete tiny checkpoint under an allowed root."""

    def make(family: str, **settings: Any) -> Path:
        return make_model(prepare.roots / f"whole-{family}", family, **settings)

    return make


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_artifact_is_what_transformers_with_bitsandbytes_would_have_saved(
    prepare: Any, model: Any, tmp_path: Path, family: str, case: str
) -> None:
    quantization, options, settings = CASES[case]
    source = model(family)
    shard(source)
    made = prepare.directory(
        prepare(source, quantization=quantization, quantization_options=options)
    )
    theirs = AutoModelForCausalLM.from_pretrained(
        source,
        quantization_config=BitsAndBytesConfig(**settings),
        dtype=torch.float32,
        device_map="cpu",
    )
    theirs.save_pretrained(tmp_path / "theirs")
    expected = load_file(tmp_path / "theirs" / "model.safetensors")
    found = tensors_of(made)
    assert set(found) >= set(expected)
    for name, tensor in expected.items():
        if ".quant_state." in name:
            assert json.loads(found[name].numpy().tobytes()) == json.loads(tensor.numpy().tobytes())
        else:
            assert torch.equal(found[name].view(tensor.shape), tensor), name
    # And transformers reads it back.
    again = AutoModelForCausalLM.from_pretrained(made, device_map="cpu").state_dict()
    for name, tensor in theirs.state_dict().items():
        if ".quant_state." not in name:
            assert torch.equal(again[name].view(tensor.shape), tensor), name


def test_the_report_names_each_layer_and_the_perplexity(prepare: Any, model: Any) -> None:
    source = model("llama")
    prepared = prepare(source, quantization=Quantization.INT4)
    report = prepared.fidelity
    assert [each.hook_point for each in report.layers] == [
        f"layers.{n}.resid_post" for n in range(4)
    ]
    assert all(0 < each.relative_error < 1 for each in report.layers)
    assert all(0 < each.cosine < 1 for each in report.layers)
    assert report.probe_tokens == 128
    change = report.perplexity / report.reference_perplexity - 1
    assert report.perplexity_change == pytest.approx(change)
    manifest = ArtifactManifest.model_validate_json(
        (prepare.directory(prepared) / "artifact.json").read_bytes()
    )
    assert manifest.fidelity == report
    assert manifest.quantization_options == QuantizationOptions()
    # Found again, not made again.
    assert prepare(source, quantization=Quantization.INT4).fidelity == report


def test_without_a_tokenizer_there_is_a_report_but_no_perplexity(prepare: Any, model: Any) -> None:
    source = model("gpt2")
    (source / "tokenizer.json").unlink()
    report = prepare(source, quantization=Quantization.INT8).fidelity
    assert len(report.layers) == 4
    assert report.perplexity is None


def test_a_broken_tokenizer_is_named(prepare: Any, model: Any) -> None:
    source = model("gpt2")
    (source / "tokenizer.json").write_text("{")
    with pytest.raises(InvalidInput) as refused:
        prepare(source, quantization=Quantization.INT8)
    assert refused.value.details["reason"] == "corrupt_tokenizer"
    assert prepare.left_over() == []


def test_other_options_make_another_artifact(prepare: Any, model: Any) -> None:
    source = model("gpt2")
    prints = {
        prepare(source, quantization=q, quantization_options=o).artifact.fingerprint
        for q, o, _ in CASES.values()
    }
    assert len(prints) == 3
    same = prepare(
        source, quantization=Quantization.INT8, quantization_options=FP4
    ).artifact.fingerprint
    assert same in prints


def test_what_is_not_quantised_keeps_the_checkpoints_dtype(prepare: Any, model: Any) -> None:
    source = model("llama")
    half = prepare.directory(prepare(source, quantization=Quantization.BF16))
    target = source.with_name("half")
    half.rename(target)
    (target / "artifact.json").unlink()
    prepared = prepare(target, quantization=Quantization.INT8)
    found = tensors_of(prepare.directory(prepared))
    assert prepared.artifact.dtype is Dtype.BFLOAT16
    assert found["model.embed_tokens.weight"].dtype is torch.bfloat16
    assert found["model.layers.0.mlp.up_proj.weight"].dtype is torch.int8


def test_fused_experts_are_refused_before_any_work(prepare: Any, model: Any) -> None:
    source = model("mixtral")
    with pytest.raises(InvalidInput) as refused:
        prepare(source, quantization=Quantization.INT4)
    assert refused.value.details["reason"] == "fused_experts"
    assert prepare(source, quantization=Quantization.BF16).artifact.dtype is Dtype.BFLOAT16


def test_progress_goes_through_quantising_and_comparing(prepare: Any, model: Any) -> None:
    prepare(model("llama"), quantization=Quantization.INT4)
    steps = [s for s in prepare.steps if s.stage is LoadStage.QUANTIZING]
    assert {s.message for s in steps} >= {
        "Quantising the weights.",
        "Comparing with the reference.",
    }
    parts = [s.overall for s in steps]
    assert parts == sorted(parts)
    assert parts[-1] == pytest.approx(85.0, abs=0.01)
