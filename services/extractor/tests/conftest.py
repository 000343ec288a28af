"""Shared fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mistudio_contracts.values import Artifact
from mistudio_testkit.fixtures import *  # noqa: F403
from mistudio_testkit.models import make_model

from .support import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    for name in ("models", "datasets", "activations"):
        (tmp_path / name).mkdir()
    return Disk(tmp_path)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of some dozen megabytes whose shards take a second or more on a CPU."""
    path = tmp_path_factory.mktemp("wide") / "gpt2"
    return make_model(path, "gpt2", n_embd=512, n_layer=6, n_head=8)


@pytest.fixture
def tiny(disk: Disk, tiny_model: Callable[[str], Path]) -> Artifact:
    """The artifact of the tiny GPT-2: four layers of width 64, context 256, vocabulary 512."""
    return disk.artifact(tiny_model("gpt2"))
