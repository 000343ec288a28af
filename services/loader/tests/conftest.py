"""Shared fixtures: a hub on this machine, cache roots, and preparations run in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mistudio_contracts import Quantization, Source, new_id
from mistudio_loader.domain.progress import Step
from mistudio_loader.jobs import Prepared, PrepareJob
from mistudio_loader.services.preparation import Preparation
from mistudio_testkit.fixtures import *  # noqa: F403
from mistudio_testkit.hub import FakeHub


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
def checkpoint(roots: Path, tiny_model: Callable[[str], Path]) -> Callable[..., Path]:
    """Return a function that copies a family's tiny model under the allowed root."""

    def copy(family: str = "gpt2", name: str | None = None) -> Path:
        target = roots / (name or family)
        shutil.copytree(tiny_model(family), target)
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
def configure() -> Callable[..., None]:
    """Return a function that changes a checkpoint's config; None removes a key."""
    return edit_config
