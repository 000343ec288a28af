"""A stack that is there to be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.faults import Undisturbed
from mistudio_testkit.models import make_model
from mistudio_testkit.site import Site
from tests.conftest import site

__all__ = ["site"]


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, models_root: Path) -> Iterator[EmbeddedStack]:
    """A stack of these tests' own, with small shards so that a kill falls between two."""
    env = {"LOAD_REQUESTS_PER_HOUR": "1000000", "SHARD_TOKENS": "1500"}
    with EmbeddedStack(tmp_path_factory.mktemp("faults"), allow=[models_root], env=env) as running:
        yield running


@pytest.fixture(scope="package")
def undisturbed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Of a model heavy enough that an extraction takes seconds."""
    directory = tmp_path_factory.mktemp("wide")
    model = make_model(directory / "gpt2", "gpt2", n_embd=256, n_layer=8, n_head=8)
    return Undisturbed.run(site, model, directory)
