"""Preparing from a directory: exact bytes, exact casts, and nothing half-done."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mistudio_contracts import Dtype, Quantization
from mistudio_contracts.errors import InsufficientStorage, InvalidInput, ModelLoadFailed
from mistudio_loader.services import casting, preparation, writing


def tensors_of(directory: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in sorted(directory.glob("*.safetensors")):
        found |= load_file(path)
    return found


def tree(directory: Path, *, without: str = "") -> dict[str, str]:
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in directory.iterdir()
        if p.name != without
    }


def shard(directory: Path, count: int = 3) -> None:
    """Cut a checkpoint's single weight file into shards with an index."""
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for part in range(count):
        file = f"model-{part + 1:05d}-of-{count:05d}.safetensors"
        mine = names[part::count]
        save_file({name: tensors[name] for name in mine}, directory / file)
        weight_map |= dict.fromkeys(mine, file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral"])
def test_none_keeps_every_byte_of_the_weights(prepare: Any, checkpoint: Any, family: str) -> None:
    source = checkpoint(family)
    prepared = prepare(source)
    made = prepare.directory(prepared)
    assert (made / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert prepared.artifact.dtype is Dtype.FLOAT32
    assert prepared.artifact.bytes == (source / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("quantization", "dtype"),
    [(Quantization.FP16, torch.float16), (Quantization.BF16, torch.bfloat16)],
)
def test_a_cast_is_the_cast_of_torch(
    prepare: Any, checkpoint: Any, quantization: Quantization, dtype: torch.dtype
) -> None:
    source = checkpoint("llama")
    made = prepare.directory(prepare(source, quantization=quantization))
    expected = {name: t.to(dtype) for name, t in tensors_of(source).items()}
    found = tensors_of(made)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name].view(torch.int16), tensor.view(torch.int16)), name


def test_buffers_that_are_not_floats_stay_as_they_are(prepare: Any, checkpoint: Any) -> None:
    source = checkpoint()
    tensors = load_file(source / "model.safetensors")
    tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
    tensors["steps"] = torch.arange(5)
    tensors["nothing"] = torch.zeros(0, 4)
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    found = tensors_of(prepare.directory(prepare(source, quantization=Quantization.BF16)))
    assert torch.equal(found["transformer.h.0.attn.bias"], tensors["transformer.h.0.attn.bias"])
    assert torch.equal(found["steps"], tensors["steps"])
    assert found["nothing"].shape == (0, 4)


def test_a_tensor_of_many_pieces_is_cast_whole(
    prepare: Any, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mistudio_loader.services.casting.PIECE_BYTES", 64)
    source = checkpoint()
    found = tensors_of(prepare.directory(prepare(source, quantization=Quantization.FP16)))
    for name, tensor in tensors_of(source).items():
        assert torch.equal(found[name], tensor.half()), name


def test_the_artifact_loads_in_transformers_with_the_dtype_it_names(
    prepare: Any, roots: Path, tiny_model: Any
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = Path(shutil.copytree(tiny_model("gpt2"), roots / "gpt2"))
    shard(source)
    made = prepare.directory(prepare(source, quantization=Quantization.BF16))
    model: Any = AutoModelForCausalLM.from_pretrained(made)
    assert model.dtype is torch.bfloat16
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    tokenizer: Any = AutoTokenizer.from_pretrained(made)
    assert tokenizer("one two").input_ids
    index = json.loads((made / "model.safetensors.index.json").read_text())
    stored = sum(t.nbytes for t in tensors_of(made).values())
    assert index["metadata"]["total_size"] == stored


def test_facts_speak_of_the_checkpoint_and_the_artifact_of_the_disk(
    prepare: Any, checkpoint: Any
) -> None:
    prepared = prepare(checkpoint("gpt2"), quantization=Quantization.FP16)
    facts, artifact = prepared.facts, prepared.artifact
    assert (facts.model_type, facts.architecture) == ("gpt2", "GPT2LMHeadModel")
    assert (facts.num_layers, facts.hidden_size, facts.context_length) == (4, 64, 256)
    assert facts.dtype is Dtype.FLOAT32
    assert artifact.dtype is Dtype.FLOAT16
    on_disk = sum(p.stat().st_size for p in prepare.directory(prepared).glob("*.safetensors"))
    assert artifact.bytes == on_disk


def test_the_same_checkpoint_gives_the_same_bytes(
    prepare: Any, checkpoint: Any, tmp_path: Path
) -> None:
    source = checkpoint("mistral")
    first = prepare(source, quantization=Quantization.FP16)
    kept = tree(prepare.directory(first), without="artifact.json")
    shutil.rmtree(prepare.directory(first))
    second = prepare(source, quantization=Quantization.FP16)
    assert second.artifact == first.artifact
    assert tree(prepare.directory(second), without="artifact.json") == kept


def test_a_prepared_model_is_found_without_reading_its_weights(
    prepare: Any, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoint()
    first = prepare(source)

    def refuse(*_: object) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(writing, "copy_file", refuse)
    assert prepare(source).artifact == first.artifact


def test_a_changed_weight_gives_another_artifact(prepare: Any, checkpoint: Any) -> None:
    source = checkpoint()
    first = prepare(source)
    tensors = load_file(source / "model.safetensors")
    tensors["transformer.wte.weight"][0, 0] += 1
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    assert prepare(source).artifact.fingerprint != first.artifact.fingerprint


def test_the_target_and_the_tokenizer_are_part_of_the_fingerprint(
    prepare: Any, checkpoint: Any
) -> None:
    source = checkpoint()
    found = {prepare(source, quantization=q).artifact.fingerprint for q in ("none", "fp16", "bf16")}
    config = source / "tokenizer_config.json"
    config.write_text(config.read_text() + " ")
    found.add(prepare(source).artifact.fingerprint)
    assert len(found) == 4


def test_a_damaged_artifact_is_made_anew(prepare: Any, checkpoint: Any) -> None:
    source = checkpoint()
    prepared = prepare(source)
    weights = prepare.directory(prepared) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert prepare(source).artifact == prepared.artifact
    assert weights.read_bytes() == (source / "model.safetensors").read_bytes()
    assert prepare.left_over() == []


def test_no_local_path_is_written_into_the_artifact(
    prepare: Any, checkpoint: Any, configure: Any, tmp_path: Path
) -> None:
    source = checkpoint()
    configure(source, _name_or_path=str(source))
    made = prepare.directory(prepare(source, quantization=Quantization.FP16))
    manifest = json.loads((made / "artifact.json").read_text())
    for name in ("artifact.json", "config.json"):
        assert str(tmp_path) not in (made / name).read_text()
    assert manifest["model_identifier"] is None
    assert set(manifest["source_sha256"]) >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert {f["name"] for f in manifest["files"]} == {p.name for p in made.iterdir()} - {
        "artifact.json"
    }
    assert manifest["tools"]["torch"] == torch.__version__


def test_remote_code_is_neither_kept_nor_named(
    prepare: Any, checkpoint: Any, configure: Any
) -> None:
    source = checkpoint()
    configure(source, auto_map={"AutoModel": "evil.Model"})
    (source / "evil.py").write_text("raise SystemExit")
    made = prepare.directory(prepare(source))
    assert not (made / "evil.py").exists()
    assert "auto_map" not in json.loads((made / "config.json").read_text())


def test_a_weight_too_large_for_the_target_is_refused(prepare: Any, checkpoint: Any) -> None:
    source = checkpoint()
    tensors = load_file(source / "model.safetensors")
    tensors["transformer.wte.weight"][3, 4] = 1e6
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidInput) as caught:
        prepare(source, quantization=Quantization.FP16)
    assert caught.value.details["reason"] == "overflow"
    assert caught.value.details["tensor"] == "transformer.wte.weight"
    assert prepare.left_over() == []


def test_a_full_disk_is_told_before_anything_is_written(prepare: Any, checkpoint: Any) -> None:
    with pytest.raises(InsufficientStorage) as caught:
        prepare(checkpoint(), reserve_bytes=2**60)
    assert caught.value.details["required_bytes"] > 0
    assert caught.value.details["available_bytes"] == 0
    assert prepare.left_over() == []


def test_a_disk_that_fills_up_leaves_nothing_behind(
    prepare: Any, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preparation, "write_file", full)
    with pytest.raises(InsufficientStorage):
        prepare(checkpoint())
    assert prepare.left_over() == []
    assert [p.name for p in prepare.cache.iterdir() if not p.name.startswith(".")] == []


def test_a_file_that_changes_under_our_hands_is_not_prepared(
    prepare: Any, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoint()
    copy = casting.copy_file

    def and_touch(path: Path, target: Path, tell: Any) -> Any:
        done = copy(path, target, tell)
        path.write_bytes(path.read_bytes())
        return done

    monkeypatch.setattr(writing, "copy_file", and_touch)
    with pytest.raises(ModelLoadFailed) as caught:
        prepare(source)
    assert caught.value.details["reason"] == "source_changed"
    assert caught.value.transient


def test_stages_come_in_order(prepare: Any, checkpoint: Any) -> None:
    prepare(checkpoint(), quantization=Quantization.BF16)
    overall = [step.overall for step in prepare.steps]
    # Their checksums come about while they are copied: nothing is verified before.
    stages = [step.stage.value for step in prepare.steps]
    assert list(dict.fromkeys(stages)) == ["resolving", "quantizing"]
    assert overall == sorted(overall)
    assert overall[-1] == 85.0
