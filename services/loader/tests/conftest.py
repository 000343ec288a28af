"""Shared fixtures: a hub on this machine, cache roots, and preparations run in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mistudio_contracts import Quantization, Source, new_id
from mistudio_loader.domain.progress import Step
from mistudio_loader.jobs import Prepared, PrepareJob
from mistudio_loader.services.preparation import Preparation
from mistudio_testkit.fixtures import *  # noqa: F403
from mistudio_testkit.hub import FakeHub


def write_model(path: Path, family: str, width: int = 64) -> Path:
    """Write a checkpoint of random weights with the family's config and names.

    Real enough to be prepared, and made without transformers, whose import takes long.
    """
    rng = np.random.default_rng(0)
    path.mkdir(parents=True)
    shapes = _shapes(family, width)
    tensors = {n: rng.standard_normal(shape, dtype=np.float32) for n, shape in shapes.items()}
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    config = {"model_type": family, "vocab_size": 512, "architectures": [_ARCHITECTURES[family]]}
    if family == "gpt2":
        config |= {"n_embd": width, "n_layer": 4, "n_head": 4, "n_positions": 256}
    else:
        config |= {"hidden_size": width, "num_hidden_layers": 4, "num_attention_heads": 4}
        config |= {"intermediate_size": 2 * width, "max_position_embeddings": 256}
    (path / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
    (path / "generation_config.json").write_text("{}")
    (path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "family": family}))
    (path / "tokenizer_config.json").write_text("{}")
    return path


_ARCHITECTURES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
}


def _shapes(family: str, width: int, vocab: int = 512) -> dict[str, tuple[int, ...]]:
    wide = 4 * width if family == "gpt2" else 2 * width
    if family == "gpt2":
        beside: dict[str, tuple[int, ...]] = {
            "transformer.wte.weight": (vocab, width),
            "transformer.wpe.weight": (256, width),
            "transformer.ln_f.weight": (width,),
            "transformer.ln_f.bias": (width,),
        }
        block: dict[str, tuple[int, ...]] = {
            "attn.c_attn.weight": (width, 3 * width),
            "attn.c_attn.bias": (3 * width,),
            "attn.c_proj.weight": (width, width),
            "mlp.c_fc.weight": (width, wide),
            "mlp.c_fc.bias": (wide,),
            "mlp.c_proj.weight": (wide, width),
        }
        for name in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"):
            block[name] = (width,)
        block |= {"attn.c_proj.bias": (width,), "mlp.c_proj.bias": (width,)}
        blocks = "transformer.h"
    else:
        beside = {
            "model.embed_tokens.weight": (vocab, width),
            "model.norm.weight": (width,),
            "lm_head.weight": (vocab, width),
        }
        block = {f"self_attn.{name}_proj.weight": (width, width) for name in "qkvo"}
        block |= {f"mlp.{name}_proj.weight": (wide, width) for name in ("gate", "up")}
        block |= {"mlp.down_proj.weight": (width, wide), "input_layernorm.weight": (width,)}
        block["post_attention_layernorm.weight"] = (width,)
        blocks = "model.layers"
    inside = {f"{blocks}.{n}.{name}": shape for n in range(4) for name, shape in block.items()}
    return beside | inside


def write_zeros(directory: Path, size: int) -> None:
    """Give a GPT-2 checkpoint a vocabulary of ``size`` float32 bytes that take no disk."""
    vocab = size // (4 * 64)
    edit_config(directory, vocab_size=vocab)
    header: dict[str, Any] = {}
    position = 0
    for name, shape in _shapes("gpt2", 64, vocab).items():
        end = position + 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header).encode()
    with (directory / "model.safetensors").open("wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        stream.truncate(8 + len(raw) + position)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a family's name to the directory of its model, made once."""
    root = tmp_path_factory.mktemp("small")

    def get(family: str = "gpt2") -> Path:
        path = root / family
        return path if path.exists() else write_model(path, family)

    return get


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of more than ten megabytes, so that a transfer has a middle."""
    return write_model(tmp_path_factory.mktemp("wide") / "gpt2", "gpt2", width=288)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as running:
        yield running


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """The one allowed root."""
    path = tmp_path / "allowed"
    path.mkdir()
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    path.mkdir()
    return path


@pytest.fixture
def checkpoint(roots: Path, small_model: Callable[[str], Path]) -> Callable[..., Path]:
    """Return a function that copies a family's model under the allowed root."""

    def copy(family: str = "gpt2", name: str | None = None) -> Path:
        target = roots / (name or family)
        shutil.copytree(small_model(family), target)
        return target

    return copy


class Preparer:
    """Runs preparations in this process and keeps what they told."""

    def __init__(self, cache: Path, roots: Path) -> None:
        self.cache = cache
        self.roots = roots
        self.endpoint = "http://127.0.0.1:9"
        self.token: str | None = None
        self.steps: list[Step] = []

    def job(self, identifier: str, **fields: Any) -> PrepareJob:
        settings: dict[str, Any] = {
            "task_id": new_id("task"),
            "source": Source.LOCAL,
            "quantization": Quantization.NONE,
            "root": self.cache,
            "local_roots": [self.roots],
            "endpoint": self.endpoint,
            "token": self.token,
        }
        return PrepareJob(model_identifier=identifier, **{**settings, **fields})

    def __call__(self, identifier: str | Path, **fields: Any) -> Prepared:
        self.steps.clear()
        return Preparation(self.job(str(identifier), **fields), self.steps.append).run()

    def from_hub(self, repo_id: str, **fields: Any) -> Prepared:
        return self(repo_id, source=Source.HUGGINGFACE, **fields)

    def directory(self, prepared: Prepared) -> Path:
        return self.cache / prepared.artifact.fingerprint

    def left_over(self) -> list[str]:
        """What stands in the cache's hidden corners."""
        return sorted(
            path.relative_to(self.cache).as_posix()
            for corner in (".staging", ".trash", ".hub")
            for path in (self.cache / corner).rglob("*")
            if path.is_file()
        )


@pytest.fixture
def prepare(cache: Path, roots: Path) -> Preparer:
    return Preparer(cache, roots)


@pytest.fixture
def prepare_from(prepare: Preparer, hub: FakeHub) -> Preparer:
    """A preparer whose hub is the fake one."""
    prepare.endpoint = hub.url
    return prepare


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config.update(changes)
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.fixture
def zeros() -> Callable[[Path, int], None]:
    """Return :func:`write_zeros`."""
    return write_zeros


@pytest.fixture
def configure() -> Callable[..., None]:
    """Return a function that changes a checkpoint's config; None removes a key."""
    return edit_config
