"""What a checkpoint must hold: nothing its architecture needs may be missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mistudio_contracts.errors import InvalidInput
from mistudio_loader.domain.blueprints import BLUEPRINTS
from mistudio_loader.domain.families import FAMILIES
from mistudio_loader.services.checkpoints import LocalCheckpoint
from mistudio_loader.services.inspection import inspect
from mistudio_testkit.models import TINY

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((family, {}) for family in sorted(TINY)),
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("qwen3", {"attention_bias": True}),
    ("gemma2", {"attention_bias": True}),
    ("falcon", {"bias": True, "parallel_attn": False}),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    ("gpt_neox", {"attention_bias": False}),
    ("opt", {"enable_bias": False, "word_embed_proj_dim": 32}),
    ("opt", {"do_layer_norm_before": False, "layer_norm_elementwise_affine": False}),
    ("phi", {"qk_layernorm": True}),
]


def edit(directory: Path, change: Any) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def test_every_family_has_a_blueprint() -> None:
    assert set(BLUEPRINTS) == {family.model_type for family in FAMILIES}


@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
def test_the_names_needed_are_those_of_the_decoder(family: str, overrides: dict[str, Any]) -> None:
    import torch
    from transformers import CONFIG_MAPPING

    from mistudio_capture.skeleton import build

    settings = {"vocab_size": 512, **TINY[family], **overrides}
    decoder = build(CONFIG_MAPPING[family].from_dict(settings), torch.float32)
    blueprint = BLUEPRINTS[family]
    needed = {blueprint.embedding, *blueprint.beside(settings)}
    needed |= {f"{blueprint.blocks}.{n}.{b}" for n in range(4) for b in blueprint.block(settings)}
    parameters = {name for name, _ in decoder.named_parameters()}
    if family == "mixtral":
        # transformers makes one tensor of the experts that a checkpoint keeps apart.
        needed = {n for n in needed if "block_sparse_moe" not in n}
        parameters = {n for n in parameters if ".mlp." not in n}
    assert needed == parameters
    assert getattr(decoder, "base_model_prefix", "") == blueprint.prefix


def test_the_checkpoint_of_a_mixture_is_complete(tiny_model: Any) -> None:
    found = inspect(LocalCheckpoint(Path(tiny_model("mixtral"))))
    assert found.tensors is not None
    assert found.tensors.unused == ()


def test_missing_tensors_are_named_before_anything_is_moved(checkpoint: Any, prepare: Any) -> None:
    source = checkpoint("llama")
    gone = ["model.layers.2.mlp.up_proj.weight", "model.norm.weight"]
    edit(source, lambda tensors: [tensors.pop(name) for name in gone])
    with pytest.raises(InvalidInput) as caught:
        prepare(source)
    details = caught.value.details
    assert (details["reason"], details["missing"]) == ("missing_tensors", gone)
    assert gone[0] in caught.value.message
    assert [s.stage.value for s in prepare.steps] == ["resolving"]
    assert prepare.left_over() == []


def test_a_block_of_another_shape_is_refused(checkpoint: Any, prepare: Any) -> None:
    source = checkpoint("llama")

    def shrink(tensors: dict[str, Any]) -> None:
        name = "model.layers.1.mlp.up_proj.weight"
        tensors[name] = tensors[name][:-1].clone()

    edit(source, shrink)
    with pytest.raises(InvalidInput) as caught:
        prepare(source)
    assert caught.value.details["reason"] == "wrong_shape"
    assert caught.value.details["expected"] == [128, 64]


def test_a_checkpoint_saved_without_its_head_is_complete(checkpoint: Any, prepare: Any) -> None:
    source = checkpoint("gpt2")
    tensors = load_file(source / "model.safetensors")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    save_file(bare, source / "model.safetensors", {"format": "pt"})
    made = prepare.directory(prepare(source))
    assert load_file(made / "model.safetensors").keys() == bare.keys()


@pytest.mark.parametrize(
    ("tied", "stored", "warned"),
    [(True, False, False), (True, True, False), (False, True, False), (False, False, True)],
)
def test_a_head_is_missed_only_where_the_config_promises_one(
    checkpoint: Any, configure: Any, prepare: Any, tied: bool, stored: bool, warned: bool
) -> None:
    source = checkpoint("llama")
    configure(source, tie_word_embeddings=tied)
    if not stored:
        edit(source, lambda tensors: tensors.pop("lm_head.weight"))
    made = prepare.directory(prepare(source))
    manifest = json.loads((made / "artifact.json").read_text())
    assert any("head" in warning for warning in manifest["warnings"]) is warned


def test_tensors_that_nothing_uses_are_kept_and_named(checkpoint: Any, prepare: Any) -> None:
    import torch

    source = checkpoint("gpt2")

    def add(tensors: dict[str, Any]) -> None:
        tensors["transformer.h.0.adapter.weight"] = torch.ones(3)
        tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, 8, 8)

    edit(source, add)
    made = prepare.directory(prepare(source))
    manifest = json.loads((made / "artifact.json").read_text())
    (warning,) = manifest["warnings"]
    assert "transformer.h.0.adapter.weight" in warning
    assert "attn.bias" not in warning
    assert "transformer.h.0.adapter.weight" in load_file(made / "model.safetensors")


def test_a_tensor_in_two_files_is_refused(checkpoint: Any, prepare: Any) -> None:
    source = checkpoint("gpt2")
    tensors = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    for part in (1, 2):
        save_file(tensors, source / f"model-0000{part}-of-00002.safetensors", {"format": "pt"})
    with pytest.raises(InvalidInput) as caught:
        prepare(source)
    assert caught.value.details["reason"] == "corrupt_weights"
