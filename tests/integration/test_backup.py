"""A stack in one file, and the same answers from an empty one that it was put into."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack, Layout
from mistudio_testkit.bus import until
from mistudio_testkit.command import mistudio
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.site import Json, Site

pytestmark = [pytest.mark.stack, pytest.mark.nightly("two stacks, one after the other")]

TinyModel = Callable[[str], Path]

OF_THE_DEVICE = ("status", "progress", "memory_usage_bytes", "updated_at")
"""What a model says of a device's memory, which no backup holds."""


@dataclass
class Filled:
    """A model, datasets and extractions of the running stack, and its backup."""

    model: Json
    kept: Json
    lost: Json
    archive: Path


@pytest.fixture
def filled(stack: EmbeddedStack, site: Site, tiny_model: TinyModel, home: Path) -> Filled:
    model = site.ready_model(tiny_model("llama"), name="kept")
    files = {name: home / f"{name}.jsonl" for name in ("kept", "lost")}
    datasets = [
        site.upload(write_jsonl(path, ragged_texts(12, seed=seed)))
        for seed, path in enumerate(files.values(), start=31)
    ]
    kept, lost = [
        site.extract(model["id"], dataset_id=each["id"], layer_indices=[0, -1]) for each in datasets
    ]
    archive = home / "stack.backup"
    at = str(stack.data_dir)
    saved = mistudio("backup", str(archive), "--with-data", "--data-dir", at)
    assert saved.returncode == 0, saved.stderr
    assert "2 datasets, 2 stores" in saved.stderr
    return Filled(model, kept, lost, archive)


@pytest.fixture
def elsewhere(filled: Filled, stack: EmbeddedStack, home: Path) -> Iterator[EmbeddedStack]:
    """The backup in another directory, where the files of a store got lost, started."""
    root = home / "elsewhere"
    ran = mistudio("restore", str(filled.archive), "--data-dir", str(root), "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["missing_stores"] == []
    shutil.rmtree(Layout.at(root).activations / Path(filled.lost["storage_path"]).name)
    allow = [home.parent, Path(filled.model["model_identifier"]).parent]
    env = {"RECONCILE_SECONDS": "0.5"}
    with EmbeddedStack(root, allow=allow, env=env) as running:
        yield running


def answers(site: Site, filled: Filled) -> dict[str, Any]:
    """Return what the REST API says of everything that the backup must hold."""
    model = f"/models/{filled.model['id']}"
    found = {
        path: site.ask("GET", path)
        for path in (
            model,
            f"{model}/hook-points",
            *(f"/datasets/{each['dataset_id']}" for each in (filled.kept, filled.lost)),
            *(f"/extractions/{each['extraction_id']}" for each in (filled.kept, filled.lost)),
        )
    }
    for path in ("/models", "/datasets", "/extractions", "/activations"):
        found[f"how many {path}"] = site.ask("GET", path)["total"]
    found[f"/activations/{filled.kept['cache_id']}"] = cache(site, filled.kept)
    files = f"/activations/{filled.kept['cache_id']}/files"
    found[files] = site.ask("GET", files)
    return found


def cache(site: Site, extraction: Json) -> Json:
    found = site.ask("GET", f"/activations/{extraction['cache_id']}")
    found.pop("last_accessed_at")  # Asking is use.
    return found


def test_an_empty_stack_answers_as_the_one_that_was_saved(
    filled: Filled, stack: EmbeddedStack, site: Site, elsewhere: EmbeddedStack
) -> None:
    there = Site(elsewhere.url, elsewhere.token)
    lost = filled.lost["cache_id"]
    asyncio.run(until(lambda: cache(there, filled.lost)["status"] != "unchecked"))
    before, after = answers(site, filled), answers(there, filled)
    # Places are the new directory's.
    moved = json.dumps(before).replace(str(stack.data_dir), str(elsewhere.data_dir))
    expected: dict[str, Any] = json.loads(moved)
    model = f"/models/{filled.model['id']}"
    assert (expected[model]["status"], after[model]["status"]) == ("ready", "unloaded")
    for said in (expected[model], after[model]):
        for name in OF_THE_DEVICE:
            said.pop(name)
    assert after == expected
    assert events(there, filled) == events(site, filled)

    store = mistudio_activations.open(
        after[f"/extractions/{filled.kept['extraction_id']}"]["storage_path"]
    )
    store.verify()
    missing = cache(there, filled.lost)
    assert missing["status"] == "missing", "its files did not come along"
    there.error("GET", f"/activations/{lost}/files", 404)
    again = there.extract(
        filled.model["id"], dataset_id=filled.lost["dataset_id"], layer_indices=[0, -1]
    )
    assert (again["status"], again["cached"], again["cache_id"]) == ("completed", False, lost)
    assert cache(there, filled.lost)["status"] == "ready"

    refused = mistudio("restore", str(filled.archive), "--data-dir", str(elsewhere.data_dir))
    assert refused.returncode == 1
    assert "mistudio down" in refused.stderr
    there.close()


def events(site: Site, filled: Filled) -> list[Json]:
    """Return the events of the model and its extractions, by their places in the stream."""
    extractions = [filled.kept["extraction_id"], filled.lost["extraction_id"]]
    with site.frames(after=0, models=[filled.model["id"]], extractions=extractions) as frames:
        frames.until("extraction:completed", extraction_id=extractions[-1])
    # The answer to subscribing says which event is the newest of all.
    told = [each for each in frames.seen if each["type"] != "subscribed"]
    return [each for each in told if each["id"] is not None]
