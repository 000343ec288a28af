"""GGUF: dequantised to what transformers would load, or refused with the reason."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mistudio_contracts import Dtype, Quantization
from mistudio_contracts.errors import InvalidInput
from mistudio_loader.services.checkpoints import LocalCheckpoint
from mistudio_loader.services.inspection import inspect
from mistudio_testkit.hub import FakeHub
from mistudio_testkit.models import make_model

from .gguf_files import write_gguf


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("whole")

    def get(family: str) -> Path:
        # transformers does not read GGUF's head width of qwen3, so it must be the default one.
        overrides = {"head_dim": 128} if family == "qwen3" else {}
        path = root / family
        return path if path.exists() else make_model(path, family, **overrides)

    return get


@pytest.fixture
def gguf(roots: Path, whole: Any) -> Any:
    """Return a function that puts a directory with one GGUF file under the allowed root."""

    def give(family: str = "llama", kind: str = "F32", **values: Any) -> Path:
        directory = roots / "gguf"
        directory.mkdir()
        write_gguf(whole(family), directory / f"tiny.{kind}.gguf", kind, **values)
        return directory

    return give


def refused(prepare: Any, source: Path) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        prepare(source)
    error: InvalidInput = caught.value
    assert error.details["remedy"]
    assert str(prepare.roots) not in error.message + json.dumps(error.details)
    assert prepare.left_over() == []
    return error


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_floats_come_back_exactly_under_the_names_of_transformers(
    prepare: Any, gguf: Any, whole: Any, family: str
) -> None:
    source = gguf(family)
    prepared = prepare(source)
    made = prepare.directory(prepared)
    expected = load_file(whole(family) / "model.safetensors")
    found = load_file(made / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert (prepared.facts.dtype, prepared.artifact.dtype) == (Dtype.FLOAT32, Dtype.FLOAT32)
    config = json.loads((made / "config.json").read_text())
    original = json.loads((whole(family) / "config.json").read_text())
    for key in ("hidden_size", "intermediate_size", "num_key_value_heads", "head_dim"):
        assert config.get(key) == original.get(key), key
    assert "quantization_config" not in config
    assert prepare.left_over() == []
    assert prepare(source) == prepared


def test_the_model_and_the_tokenizer_say_what_the_originals_say(
    prepare: Any, gguf: Any, whole: Any
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = prepare.directory(prepare(gguf("llama")))
    ours: Any = AutoTokenizer.from_pretrained(made)
    theirs: Any = AutoTokenizer.from_pretrained(whole("llama"))
    text = "The residual stream carries what every block has added so far."
    ids = theirs(text, return_tensors="pt", add_special_tokens=False).input_ids
    assert torch.equal(ours(text, return_tensors="pt", add_special_tokens=False).input_ids, ids)
    logits = [
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)(ids).logits
        for path in (made, whole("llama"))
    ]
    assert torch.equal(*logits)


@pytest.mark.parametrize(
    ("kind", "dtype", "error"),
    [("F16", torch.float16, 1e-3), ("Q8_0", torch.bfloat16, 1e-2), ("Q4_0", torch.bfloat16, 0.2)],
)
def test_float16_stays_and_quantised_types_become_bfloat16(
    prepare: Any, gguf: Any, whole: Any, kind: str, dtype: torch.dtype, error: float
) -> None:
    prepared = prepare(gguf("llama", kind))
    found = load_file(prepare.directory(prepared) / "model.safetensors")
    expected = load_file(whole("llama") / "model.safetensors")
    assert {tensor.dtype for tensor in found.values()} == {dtype}
    assert prepared.artifact.dtype.value == str(dtype).removeprefix("torch.")
    for name, tensor in expected.items():
        assert (found[name].float() - tensor).norm() <= error * tensor.norm(), name


def test_a_gguf_file_can_be_quantised_as_any_checkpoint(prepare: Any, gguf: Any) -> None:
    prepared = prepare(gguf("llama", "F16"), quantization=Quantization.INT4)
    assert prepared.artifact.quantization is Quantization.INT4
    assert prepared.fidelity is not None
    assert prepared.fidelity.perplexity_change is not None


def test_inspection_reads_the_header_alone(gguf: Any, whole: Any, prepare: Any) -> None:
    source = gguf("llama", "Q8_0")
    facts = inspect(LocalCheckpoint(source)).facts
    expected = load_file(whole("llama") / "model.safetensors")
    assert (facts.model_type, facts.num_layers, facts.hidden_size) == ("llama", 4, 64)
    assert (facts.vocab_size, facts.context_length) == (512, 256)
    assert facts.parameter_count == sum(t.numel() for t in expected.values())
    assert facts.dtype is Dtype.BFLOAT16
    assert prepare(source).facts.parameter_count == facts.parameter_count


def test_a_repository_of_one_gguf_file_is_inspected_by_range_and_prepared(
    prepare_from: Any, hub: FakeHub, gguf: Any
) -> None:
    hub.add_model("a/b", gguf("llama", "Q8_0"))
    prepared = prepare_from.from_hub("a/b")
    first, *rest = hub.seen("tiny.Q8_0.gguf")
    assert first.range is not None
    assert rest
    assert prepare_from.from_hub("a/b") == prepared
    assert prepare_from.left_over() == []


def test_several_are_refused_and_one_can_be_named(prepare: Any, gguf: Any) -> None:
    source = gguf("llama")
    (path,) = source.iterdir()
    (source / "other.gguf").write_bytes(path.read_bytes())
    error = refused(prepare, source)
    assert (error.details["reason"], error.details["files"]) == (
        "several_gguf",
        ["other.gguf", path.name],
    )
    assert prepare(path).facts.model_type == "llama"


def test_safetensors_come_before_gguf(prepare: Any, checkpoint: Any) -> None:
    source = checkpoint("llama")
    (source / "broken.gguf").write_bytes(b"GGUF")
    prepare(source)


@pytest.mark.parametrize(
    "values",
    [{"llama__rope__scaling__type": "linear"}],
)
def test_scaled_rotary_embeddings_are_never_left_out(
    prepare: Any, gguf: Any, values: dict[str, str]
) -> None:
    assert refused(prepare, gguf("llama", **values)).details["reason"] == "unsupported_gguf"


def rename(content: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in content
    return content.replace(old, new)


DAMAGES: dict[str, Any] = {
    "no gguf": lambda raw: b"GGML" + raw[4:],
    "a version of the future": lambda raw: raw[:4] + struct.pack("<I", 9) + raw[8:],
    "more tensors than it can hold": lambda raw: raw[:8] + struct.pack("<Q", 2**60) + raw[16:],
    "cut in its header": lambda raw: raw[:300],
    "cut in its tensors": lambda raw: raw[:-5000],
    "a tensor without a place": lambda raw: rename(raw, b"blk.1.ffn_up.w", b"blk.1.ffn_xx.w"),
    "a wrong width": lambda raw: rename(
        raw,
        b"llama.feed_forward_length\x04\x00\x00\x00\x80",
        b"llama.feed_forward_length\x04\x00\x00\x00\x81",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(prepare: Any, gguf: Any, damage: str) -> None:
    source = gguf("llama")
    (path,) = source.iterdir()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    error = refused(prepare, source)
    assert error.details["reason"] == "corrupt_weights"
    assert error.details["file"] == path.name


def test_another_architecture_is_refused_by_its_name(prepare: Any, gguf: Any) -> None:
    source = gguf("llama")
    (path,) = source.iterdir()
    named = b"general.architecture\x08\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00"
    path.write_bytes(rename(path.read_bytes(), named + b"llama", named + b"mamba"))
    error = refused(prepare, source)
    assert error.details["reason"] == "unsupported_gguf"
    assert "mamba" in error.message
