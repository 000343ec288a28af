"""Models and datasets of a hub, through every real service and the real ``huggingface_hub``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.hub import FakeHub
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import MODEL_DONE, Site

pytestmark = pytest.mark.stack

TinyModel = Callable[[str], Path]

HEADERS = 2
"""Times that the head of a weights file is read before its download: to register, to load."""


def register(site: Site, repo: str, expect: int = 201, **fields: Any) -> dict[str, Any]:
    body = {"name": repo, "source": "huggingface", "model_identifier": repo, **fields}
    return site.ask("POST", "/models", expect, json=body)


def test_a_hub_model_is_downloaded_with_bytes_told_and_captured_from(
    site: Site, hub: FakeHub, tmp_path: Path
) -> None:
    # Another seed than the shared models: an artifact that is there would not be downloaded.
    commit = hub.add_model("someone/tiny", make_model(tmp_path / "m", "llama", seed=70))
    model = register(site, "someone/tiny")
    assert model["status"] == "pending"
    assert model["num_layers"] == 4
    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", f"/models/{model['id']}/load", json={})
        frames.until(*MODEL_DONE, model_id=model["id"])
    told = [
        f["data"]
        for f in frames.seen
        if f["data"].get("stage") == "downloading" and f["data"]["bytes_total"]
    ]
    assert told, "the download says how many bytes of how many"
    assert all(0 <= d["bytes_done"] <= d["bytes_total"] for d in told)
    ready = site.ask("GET", f"/models/{model['id']}")
    assert ready["status"] == "ready", ready["error"]
    assert ready["revision"] == commit
    dataset = site.upload(write_jsonl(tmp_path / "d.jsonl", ragged_texts(5)))
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[-1])
    assert done["status"] == "completed", done["error"]


def test_a_download_that_is_cut_goes_on_where_it_stopped(
    site: Site, hub: FakeHub, tmp_path: Path
) -> None:
    # Another seed than the shared models: an artifact that is there would not be downloaded.
    hub.add_model("someone/cut", make_model(tmp_path / "m", "gpt2", seed=71, n_embd=256))
    hub.cut("/cdn/model.safetensors", after=2_500_000, skip=HEADERS)
    model = site.load(register(site, "someone/cut")["id"])
    assert model["status"] == "ready", model["error"]
    resumed = [r.range for r in hub.seen("/cdn/model.safetensors") if r.range]
    assert any(not r.startswith("bytes=0-") for r in resumed), resumed


def test_wrong_bytes_are_thrown_away_and_fetched_again(
    site: Site, hub: FakeHub, stack: EmbeddedStack, tmp_path: Path
) -> None:
    source = make_model(tmp_path / "m", "gpt2", seed=72)
    hub.add_model("someone/wrong", source)
    hub.corrupt("/cdn/model.safetensors", skip=HEADERS)
    model = site.load(register(site, "someone/wrong", quantization="none")["id"])
    assert model["status"] == "ready", model["error"]
    made = stack.data_dir / "models" / model["fingerprint"] / "model.safetensors"
    assert load_file(made).keys() == load_file(source / "model.safetensors").keys()
    for name, tensor in load_file(source / "model.safetensors").items():
        assert torch.equal(load_file(made)[name], tensor), name


@pytest.mark.parametrize(
    ("gated", "repo", "reason"),
    [(True, "someone/gated", "gated"), (False, "someone/missing", "not_found")],
)
def test_what_the_hub_refuses_is_refused_at_once(
    site: Site, hub: FakeHub, tiny_model: TinyModel, gated: bool, repo: str, reason: str
) -> None:
    if gated:
        hub.add_model(repo, tiny_model("gpt2"), gated=True)
    error = register(site, repo, 400)["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert error["details"]["field"] == "model_identifier"
    assert error["details"]["reason"] == reason
    assert error["details"]["remedy"]


def test_a_dataset_of_the_hub(site: Site, hub: FakeHub) -> None:
    hub.add_dataset("someone/texts", {"train.jsonl": b'{"text": "a b"}\n{"text": "c"}\n'})
    body = {"name": "texts", "source": "huggingface", "identifier": "someone/texts"}
    with site.frames() as frames:
        dataset = site.ask("POST", "/datasets", 201, json=body)
        frames.until("dataset:ready", "dataset:failed", dataset_id=dataset["id"])
    ready = site.ask("GET", f"/datasets/{dataset['id']}")
    assert ready["status"] == "ready", ready["error"]
    assert ready["sample_count"] == 2
    assert ready["preview"][0]["text"] == "a b"
