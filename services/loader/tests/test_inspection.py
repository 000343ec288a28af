"""Inspection: what a checkpoint is, or why it cannot be one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mistudio_contracts import Dtype
from mistudio_contracts.errors import InvalidInput
from mistudio_loader.services.checkpoints import LocalCheckpoint
from mistudio_loader.services.inspection import inspect
from mistudio_loader.storage.roots import LocalRoots

GPT2 = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "vocab_size": 9}


def refused(directory: Path) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        inspect(LocalCheckpoint(directory))
    error = caught.value
    assert str(directory) not in error.message + json.dumps(error.details)
    assert error.details["field"] == "model_identifier"
    return error


def write_header(path: Path, header: object, data: bytes = b"") -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


@pytest.mark.parametrize(
    ("family", "architecture"),
    [
        ("gpt2", "GPT2LMHeadModel"),
        ("llama", "LlamaForCausalLM"),
        ("mistral", "MistralForCausalLM"),
    ],
)
def test_a_checkpoint_of_each_family_is_described(
    checkpoint: Any, family: str, architecture: str
) -> None:
    directory = checkpoint(family)
    found = inspect(LocalCheckpoint(directory)).facts
    tensors = load_file(directory / "model.safetensors")
    assert (found.model_type, found.architecture) == (family, architecture)
    assert (found.num_layers, found.hidden_size) == (4, 64)
    assert (found.vocab_size, found.context_length) == (512, 256)
    assert found.parameter_count == sum(t.numel() for t in tensors.values())
    assert found.dtype is Dtype.FLOAT32
    assert found.config["model_type"] == family


def test_the_dtype_is_that_of_most_weights(checkpoint: Any) -> None:
    directory = checkpoint()
    tensors = load_file(directory / "model.safetensors")
    mixed = {n: t if t.ndim == 1 else t.bfloat16() for n, t in tensors.items()}
    save_file(mixed, directory / "model.safetensors")
    assert inspect(LocalCheckpoint(directory)).facts.dtype is Dtype.BFLOAT16


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, "unsupported_architecture"),
        ({"architectures": ["GPT2ForSequenceClassification"]}, "unsupported_architecture"),
        ({"model_type": None}, "corrupt_config"),
        ({"model_type": 5}, "corrupt_config"),
        ({"n_layer": 0}, "corrupt_config"),
        ({"n_embd": "wide"}, "corrupt_config"),
        ({"vocab_size": True}, "corrupt_config"),
        ({"architectures": "GPT2LMHeadModel"}, "corrupt_config"),
        ({"quantization_config": {"quant_method": "gptq"}}, "already_quantized"),
        ({"quantization_config": {"load_in_4bit": True}}, "corrupt_weights"),
        ({"vocab_size": 511}, "wrong_shape"),
        ({"n_layer": 5}, "missing_tensors"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(
    checkpoint: Any, configure: Any, changes: dict[str, Any], reason: str
) -> None:
    directory = checkpoint()
    configure(directory, **changes)
    assert refused(directory).details["reason"] == reason


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_config_that_is_not_json_is_refused(checkpoint: Any, content: bytes) -> None:
    directory = checkpoint()
    (directory / "config.json").write_bytes(content)
    assert refused(directory).details["reason"] == "corrupt_config"


def test_a_directory_without_a_config_is_refused(checkpoint: Any) -> None:
    directory = checkpoint()
    (directory / "config.json").unlink()
    assert refused(directory).details["reason"] == "no_config"


def test_a_directory_without_weights_is_refused(checkpoint: Any) -> None:
    directory = checkpoint()
    (directory / "model.safetensors").unlink()
    assert refused(directory).details["reason"] == "no_weights"


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_refused_unread(checkpoint: Any, name: str) -> None:
    directory = checkpoint()
    (directory / "model.safetensors").rename(directory / name)
    error = refused(directory)
    assert error.details["reason"] == "pickle_refused"
    assert "safetensors" in error.details["remedy"]


def test_a_pickle_beside_safetensors_does_no_harm(checkpoint: Any) -> None:
    directory = checkpoint()
    (directory / "pytorch_model.bin").write_bytes(b"\x80")
    assert inspect(LocalCheckpoint(directory)).selection.weights == ("model.safetensors",)


@pytest.mark.parametrize("with_index", [True, False])
def test_missing_shards_are_named(checkpoint: Any, with_index: bool) -> None:
    directory = checkpoint()
    names = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    (directory / "model.safetensors").rename(directory / names[1])
    if with_index:
        index = {"weight_map": {f"t{n}": name for n, name in enumerate(names)}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    error = refused(directory)
    assert error.details["reason"] == "missing_shards"
    assert error.details["missing"] == [names[0], names[2]]
    assert names[0] in error.message


@pytest.mark.parametrize(
    "index",
    [
        b"{",
        b"{}",
        b'{"weight_map": {}}',
        b'{"weight_map": {"a": "../../x.safetensors"}}',
        b'{"weight_map": {"a": "/etc/passwd"}}',
        b'{"weight_map": {"a": "pytorch_model.bin"}}',
        b'{"weight_map": {"a": "model.safetensors"}}',
    ],
)
def test_an_index_that_lies_is_refused(checkpoint: Any, index: bytes) -> None:
    directory = checkpoint()
    (directory / "model.safetensors.index.json").write_bytes(index)
    assert refused(directory).details["reason"] == "corrupt_weights"


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        (2**63).to_bytes(8, "little"),
        (200).to_bytes(8, "little") + b"{}",
    ],
)
def test_a_header_longer_than_its_file_is_refused(checkpoint: Any, content: bytes) -> None:
    directory = checkpoint()
    (directory / "model.safetensors").write_bytes(content)
    assert refused(directory).details["reason"] == "corrupt_weights"


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"not json", b""),
        (b"[" * 50_000, b""),
        ([1], b""),
        ({"a": 1}, b""),
        ({"__metadata__": {"a": 1}}, b""),
        ({"a": {**TENSOR, "dtype": "F99"}}, bytes(8)),
        ({"a": {**TENSOR, "dtype": ["F32"]}}, bytes(8)),
        ({"a": {**TENSOR, "shape": [-2]}}, bytes(8)),
        ({"a": {**TENSOR, "shape": [2**62, 2**62]}}, bytes(8)),
        ({"a": {**TENSOR, "data_offsets": [0]}}, bytes(8)),
        ({"a": {**TENSOR, "data_offsets": [8, 0]}}, bytes(8)),
        ({"a": {**TENSOR, "data_offsets": [4, 12]}}, bytes(12)),
        ({"a": TENSOR, "b": TENSOR}, bytes(8)),
        ({"a": TENSOR}, bytes(7)),
        ({"a": TENSOR}, bytes(9)),
    ],
)
def test_a_header_that_lies_is_refused(checkpoint: Any, header: object, data: bytes) -> None:
    directory = checkpoint()
    write_header(directory / "model.safetensors", header, data)
    error = refused(directory)
    assert error.details["reason"] == "corrupt_weights"
    assert error.details["file"] == "model.safetensors"


def test_a_truncated_weight_file_is_refused(checkpoint: Any) -> None:
    directory = checkpoint()
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert refused(directory).details["reason"] == "corrupt_weights"


def test_weights_of_integers_are_refused(checkpoint: Any) -> None:
    directory = checkpoint()
    save_file({"a": torch.zeros(9, dtype=torch.int8)}, directory / "model.safetensors")
    assert refused(directory).details["reason"] == "unsupported_dtype"


def test_an_empty_weight_file_is_refused(checkpoint: Any) -> None:
    directory = checkpoint()
    write_header(directory / "model.safetensors", {})
    assert refused(directory).details["reason"] == "no_weights"


class TestRoots:
    """Which paths a user may name."""

    def test_relative_and_absolute_paths_inside_a_root_are_found(self, roots: Path) -> None:
        (roots / "a" / "b").mkdir(parents=True)
        allowed = LocalRoots([roots.parent / "other", roots])
        assert allowed.resolve("a/b", "f") == (roots / "a" / "b").resolve()
        assert allowed.resolve(str(roots / "a"), "f") == (roots / "a").resolve()

    @pytest.mark.parametrize(
        "identifier", ["../x", "a/../../x", "/etc", "/", "a\\..\\..\\x", "~root", "a\x00b"]
    )
    def test_what_leaves_the_roots_is_refused(self, roots: Path, identifier: str) -> None:
        (roots / "a").mkdir()
        with pytest.raises(InvalidInput) as caught:
            LocalRoots([roots]).resolve(identifier, "model_identifier")
        details = caught.value.details
        assert (details["field"], details["reason"]) == ("model_identifier", "outside_roots")
        assert "--allow" in details["remedy"]
        assert "LOCAL_ROOTS" in details["remedy"]
        assert str(roots) not in caught.value.message + str(details)

    @pytest.mark.parametrize("identifier", ["~nobody there", "a" * 300, "ring", "ring/a"])
    def test_what_no_path_leads_to_is_not_found(self, roots: Path, identifier: str) -> None:
        (roots / "ring").symlink_to(roots / "ring")
        with pytest.raises(InvalidInput) as caught:
            LocalRoots([roots]).resolve(identifier, "model_identifier")
        details = caught.value.details
        assert (details["field"], details["reason"]) == ("model_identifier", "not_found")

    def test_a_link_out_of_the_roots_is_refused(self, roots: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (roots / "link").symlink_to(outside)
        with pytest.raises(InvalidInput) as caught:
            LocalRoots([roots]).resolve("link", "f")
        assert caught.value.details["reason"] == "outside_roots"

    def test_a_link_inside_the_roots_is_followed(self, roots: Path) -> None:
        (roots / "real").mkdir()
        (roots / "link").symlink_to(roots / "real")
        assert LocalRoots([roots]).resolve("link", "f") == (roots / "real").resolve()

    def test_a_root_whose_name_begins_alike_is_another(self, roots: Path) -> None:
        other = roots.with_name(roots.name + "-not")
        other.mkdir()
        with pytest.raises(InvalidInput):
            LocalRoots([roots]).resolve(str(other), "f")

    def test_no_roots_allow_nothing(self, roots: Path) -> None:
        with pytest.raises(InvalidInput) as caught:
            LocalRoots([]).resolve(str(roots), "f")
        assert caught.value.details["reason"] == "outside_roots"

    def test_what_is_not_there_is_said_to_be_missing(self, roots: Path) -> None:
        with pytest.raises(InvalidInput) as caught:
            LocalRoots([roots]).resolve("nothing", "f")
        assert caught.value.details["reason"] == "not_found"

    def test_weights_that_link_out_of_the_roots_are_refused(
        self, prepare: Any, checkpoint: Any, tmp_path: Path
    ) -> None:
        directory = checkpoint()
        secret = tmp_path / "secret.safetensors"
        (directory / "model.safetensors").rename(secret)
        (directory / "model.safetensors").symlink_to(secret)
        with pytest.raises(InvalidInput) as caught:
            prepare(directory)
        assert caught.value.details["reason"] == "outside_roots"

    def test_a_file_is_not_a_checkpoint(self, prepare: Any, roots: Path) -> None:
        (roots / "file").write_text("x")
        with pytest.raises(InvalidInput) as caught:
            prepare("file")
        assert caught.value.details["reason"] == "not_a_directory"
