"""``kill -9`` at work: the work completes, and the store equals an undisturbed run's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mistudio_activations
from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import EXTRACTION_DONE, MODEL_DONE, Site

pytestmark = [pytest.mark.stack, pytest.mark.faults]

PATIENCE = 120.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, models_root: Path) -> Iterator[EmbeddedStack]:
    """A stack of this module's own, with small shards so that a kill falls between two."""
    env = {"LOAD_REQUESTS_PER_HOUR": "1000000", "SHARD_TOKENS": "1500"}
    with EmbeddedStack(tmp_path_factory.mktemp("faults"), allow=[models_root], env=env) as running:
        yield running


@pytest.fixture(scope="module")
def site(stack: EmbeddedStack) -> Iterator[Site]:
    opened = Site(stack.url, stack.token)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heavy enough that an extraction takes seconds and a cast is not over at once."""
    path = tmp_path_factory.mktemp("wide") / "gpt2"
    return make_model(path, "gpt2", n_embd=256, n_layer=8, n_head=8)


def kill(stack: EmbeddedStack, service: str) -> None:
    os.kill(stack.pid(service), signal.SIGKILL)


def checksums(storage_path: str) -> dict[str, list[str]]:
    store = mistudio_activations.open(storage_path)
    store.verify()
    return {name: [s.sha256 for s in c.shards] for name, c in store.manifest.columns.items()}


@pytest.fixture(scope="module")
def undisturbed(
    site: Site, wide_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]]:
    """A model, an extraction's body, and the checksums of a run without faults."""
    model = site.ready_model(wide_model)
    texts = ragged_texts(300, seed=9)
    dataset = site.upload(write_jsonl(tmp_path_factory.mktemp("data") / "d.jsonl", texts))
    body = {"dataset_id": dataset["id"], "layer_indices": [0, 3, 7]}
    done = site.extract(model["id"], **body)
    assert done["status"] == "completed", done["error"]
    return model, body, checksums(done["storage_path"])


def forget(site: Site, model_id: str) -> None:
    """Delete every cache of a model, so that the next request computes."""
    for cache in site.ask("GET", "/activations", params={"model_id": model_id})["activations"]:
        with site.frames() as frames:
            site.ask("DELETE", f"/activations/{cache['id']}", 204)
            frames.until("cache:evicted", cache_id=cache["id"])


@pytest.mark.parametrize("victim", ["extractor", "catalog", "nats", "postgres"])
@pytest.mark.parametrize("moment", ["extraction:queued", "extraction:shard_completed"])
def test_an_extraction_outlives_a_kill(
    stack: EmbeddedStack,
    site: Site,
    undisturbed: tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]],
    victim: str,
    moment: str,
) -> None:
    model, body, expected = undisturbed
    forget(site, model["id"])
    with site.frames() as frames:
        accepted = site.ask("POST", f"/models/{model['id']}/extract-activations", 202, json=body)
        extraction_id = accepted["extraction_id"]
        frames.until(moment, extraction_id=extraction_id)
        kill(stack, victim)
        frames.until(*EXTRACTION_DONE, extraction_id=extraction_id, timeout=PATIENCE)
        ends = [f["type"] for f in frames.seen if f["type"] in EXTRACTION_DONE]
    done = site.ask("GET", f"/extractions/{extraction_id}")
    assert done["status"] == "completed", done["error"]
    assert len(ends) == 1
    assert checksums(done["storage_path"]) == expected


@pytest.mark.parametrize("victim", ["loader", "extractor", "catalog", "nats"])
def test_a_load_outlives_a_kill(
    stack: EmbeddedStack, site: Site, tmp_path: Path, victim: str
) -> None:
    seed = sum(map(ord, victim))
    path = make_model(tmp_path / "m", "llama", seed=seed, hidden_size=512, intermediate_size=2048)
    model = site.register(path, quantization="fp16")
    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", f"/models/{model['id']}/load", json={})
        frames.until("model:loading", model_id=model["id"])
        kill(stack, victim)
        frames.until(*MODEL_DONE, model_id=model["id"], timeout=PATIENCE)
    ready = site.ask("GET", f"/models/{model['id']}")
    assert ready["status"] == "ready", ready["error"]
    staging = stack.data_dir / "models" / ".staging"
    assert not staging.exists() or not list(staging.iterdir()), "nothing half-written is left"
    site.ask("POST", f"/models/{model['id']}/unload")


def test_a_killed_gateway_comes_back_and_replays_what_was_missed(
    stack: EmbeddedStack,
    site: Site,
    undisturbed: tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]],
    until_ready: Callable[[], None],
) -> None:
    model, body, expected = undisturbed
    forget(site, model["id"])
    with site.frames() as frames:
        accepted = site.ask("POST", f"/models/{model['id']}/extract-activations", 202, json=body)
        extraction_id = accepted["extraction_id"]
        frames.until("extraction:queued", extraction_id=extraction_id)
        last = frames.seen[-1]["id"]
        kill(stack, "gateway")
    until_ready()
    with site.frames(after=last) as frames:
        frames.until("extraction:completed", extraction_id=extraction_id, timeout=PATIENCE)
    done = site.ask("GET", f"/extractions/{extraction_id}")
    assert checksums(done["storage_path"]) == expected


@pytest.fixture
def until_ready(stack: EmbeddedStack) -> Callable[[], None]:
    return lambda: stack.wait_ready(PATIENCE)
