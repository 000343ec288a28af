"""Pickled weights: converted without running a line of them, or refused."""

from __future__ import annotations

import hashlib
import json
import zipfile
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


@pytest.fixture
def pickled(checkpoint: Any) -> Any:
    """Return a function that turns a checkpoint's weights into one pickle or more."""

    def give(family: str = "gpt2", parts: int = 1) -> Path:
        source: Path = checkpoint(family)
        tensors = load_file(source / "model.safetensors")
        (source / "model.safetensors").unlink()
        if family == "gpt2":
            # As torch saved tied weights: two names, one storage.
            tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
        if parts == 1:
            torch.save(tensors, source / "pytorch_model.bin")
            return source
        names = sorted(tensors)
        weight_map: dict[str, str] = {}
        for part in range(parts):
            file = f"pytorch_model-{part + 1:05d}-of-{parts:05d}.bin"
            mine = names[part::parts]
            torch.save({name: tensors[name] for name in mine}, source / file)
            weight_map |= dict.fromkeys(mine, file)
        index = json.dumps({"weight_map": weight_map})
        (source / "pytorch_model.bin.index.json").write_text(index)
        return source

    return give


def refused(prepare: Any, source: Path) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        prepare(source)
    error: InvalidInput = caught.value
    assert error.details["field"] == "model_identifier"
    assert error.details["remedy"]
    assert str(source) not in error.message + json.dumps(error.details)
    assert prepare.left_over() == []
    assert [p.name for p in prepare.cache.iterdir() if not p.name.startswith(".")] == []
    return error


def test_a_pickle_becomes_the_same_tensors(prepare: Any, pickled: Any, small_model: Any) -> None:
    source = pickled("gpt2")
    prepared = prepare(source)
    made = prepare.directory(prepared)
    expected = load_file(small_model("gpt2") / "model.safetensors")
    found = load_file(made / "model.safetensors")
    # The tied head is the embedding, and is left out as in every safetensors checkpoint.
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert {p.name for p in made.iterdir()} & {"pytorch_model.bin"} == set()
    assert prepared.facts.parameter_count == sum(t.numel() for t in expected.values())
    assert (prepared.facts.dtype, prepared.artifact.dtype) == (Dtype.FLOAT32, Dtype.FLOAT32)
    manifest = json.loads((made / "artifact.json").read_text())
    digest = hashlib.sha256((source / "pytorch_model.bin").read_bytes()).hexdigest()
    assert manifest["source_sha256"]["pytorch_model.bin"] == digest
    assert prepare.left_over() == []
    assert prepare(source) == prepared


def test_shards_of_a_pickle_are_converted_and_cast(prepare: Any, pickled: Any) -> None:
    made = prepare.directory(prepare(pickled("llama", 3), quantization=Quantization.BF16))
    index = json.loads((made / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {
        f"model-{n:05d}-of-00003.safetensors" for n in (1, 2, 3)
    }
    for path in made.glob("*.safetensors"):
        assert {t.dtype for t in load_file(path).values()} == {torch.bfloat16}


def test_a_pickle_of_the_hub_is_verified_converted_and_found_again(
    prepare_from: Any, hub: FakeHub, pickled: Any
) -> None:
    hub.add_model("a/b", pickled("llama"))
    first = prepare_from.from_hub("a/b")
    transfers = len(hub.seen("/cdn/pytorch_model.bin"))
    assert transfers == 1
    assert prepare_from.from_hub("a/b") == first
    assert len(hub.seen("/cdn/pytorch_model.bin")) == transfers
    assert prepare_from.left_over() == []


def test_inspection_leaves_a_pickle_closed(pickled: Any, small_model: Any) -> None:
    source = pickled("llama")
    whole = load_file(small_model("llama") / "model.safetensors")
    (source / "pytorch_model.bin").write_bytes(b"\x80 never read")
    facts = inspect(LocalCheckpoint(source)).facts
    assert facts.parameter_count == sum(t.numel() for t in whole.values())
    assert (facts.dtype, facts.num_layers) == (Dtype.FLOAT32, 4)


def test_safetensors_come_before_pickles(prepare: Any, checkpoint: Any) -> None:
    source = checkpoint()
    (source / "pytorch_model.bin").write_bytes(b"\x80")
    (source / "pytorch_model.bin.index.json").write_text("{")
    prepare(source)


class Hostile:
    """What a pickle would run when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.write_text, (self.target, "the author's code has run")


def test_a_hostile_pickle_is_refused_and_never_runs(
    prepare: Any, pickled: Any, tmp_path: Path
) -> None:
    source, mark = pickled("llama"), tmp_path / "mark"
    torch.save({"model.norm.weight": Hostile(mark)}, source / "pytorch_model.bin")
    torch.load(source / "pytorch_model.bin", weights_only=False)
    assert mark.read_text()
    mark.unlink()
    error = refused(prepare, source)
    assert (error.details["reason"], error.details["file"]) == (
        "pickle_refused",
        "pytorch_model.bin",
    )
    assert not mark.exists()


def test_a_pickle_of_old_is_refused_with_a_remedy(prepare: Any, pickled: Any) -> None:
    source = pickled("llama")
    path = source / "pytorch_model.bin"
    torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)
    error = refused(prepare, source)
    assert error.details["reason"] == "pickle_refused"
    assert "1.6" in error.message


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def compress(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def wrap(path: Path) -> None:
    torch.save({"state_dict": torch.load(path)}, path)


def repeat(path: Path) -> None:
    torch.save({**torch.load(path), "x": torch.zeros(1).expand(2**40)}, path)


def exotic(path: Path) -> None:
    torch.save({**torch.load(path), "x": torch.zeros(2, dtype=torch.complex64)}, path)


@pytest.mark.parametrize("damage", [cut, empty, compress, wrap, repeat, exotic])
def test_a_pickle_that_is_no_checkpoint_is_refused(prepare: Any, pickled: Any, damage: Any) -> None:
    source = pickled("llama")
    damage(source / "pytorch_model.bin")
    error = refused(prepare, source)
    assert error.details["reason"] == "corrupt_weights"
    assert error.details["file"] == "pytorch_model.bin"


def test_a_pickle_that_lacks_tensors_is_refused(prepare: Any, pickled: Any) -> None:
    source = pickled("llama")
    path = source / "pytorch_model.bin"
    tensors = torch.load(path)
    del tensors["model.norm.weight"]
    torch.save(tensors, path)
    error = refused(prepare, source)
    assert error.details["missing"] == ["model.norm.weight"]
