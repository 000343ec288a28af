"""The way of a model: register, load, ready, unload, delete, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

TinyModel = Callable[[str], Path]
STAGES = ["resolving", "downloading", "verifying", "quantizing", "placing"]


def test_a_registered_model_shows_its_config_before_it_is_loaded(
    site: Site, tiny_model: TinyModel
) -> None:
    model = site.register(tiny_model("gpt2"))
    assert model["status"] == "pending"
    assert (model["num_layers"], model["hidden_size"], model["vocab_size"]) == (4, 64, 512)
    assert model["config"]["n_embd"] == 64
    assert model["parameter_count"] > 0


@pytest.mark.parametrize(
    ("family", "quantization", "dtype"),
    [
        ("gpt2", "none", "float32"),
        ("llama", "fp16", "float16"),
        ("mistral", "bf16", "bfloat16"),
    ],
)
def test_a_load_goes_through_its_stages_to_ready(
    site: Site, tiny_model: TinyModel, family: str, quantization: str, dtype: str
) -> None:
    model = site.register(tiny_model(family), quantization=quantization)
    with site.frames(models=[model["id"]]) as frames:
        accepted = site.ask("POST", f"/models/{model['id']}/load", json={})
        assert accepted["status"] == "loading"
        frames.until("model:ready", "model:failed", model_id=model["id"])
    live = [f["data"] for f in frames.seen if f["type"] == "model:loading"]
    progress = [d["progress"] for d in live]
    stages = [d["stage"] for d in live if d.get("stage")]
    assert progress == sorted(progress), "progress never goes back"
    assert stages == sorted(stages, key=STAGES.index), "stages come in order"
    assert {d["task_id"] for d in live} == {accepted["task_id"]}

    ready = site.ask("GET", f"/models/{model['id']}")
    assert ready["status"] == "ready", ready["error"]
    assert ready["dtype"] == dtype
    assert ready["memory_usage_bytes"] > 0
    assert ready["load_time_seconds"] > 0
    assert ready["progress"] == 100


def test_unload_returns_the_memory_and_delete_the_files(
    site: Site, stack: EmbeddedStack, tiny_model: TinyModel
) -> None:
    model = site.ready_model(tiny_model("gpt2"), quantization="fp16")
    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", f"/models/{model['id']}/unload")
        gone = frames.until("model:unloaded", model_id=model["id"])
    assert gone["reason"] == "requested"
    resident = [m for d in site.ask("GET", "/devices")["devices"] for m in d["resident_models"]]
    assert model["id"] not in resident
    assert site.ask("GET", f"/models/{model['id']}")["status"] == "unloaded"

    artifact = stack.data_dir / "models" / model["fingerprint"]
    assert artifact.is_dir()
    with site.frames(models=[model["id"]]) as frames:
        site.ask("DELETE", f"/models/{model['id']}", 204)
        frames.until("model:deleted", model_id=model["id"])
    error = site.error("GET", f"/models/{model['id']}", 404)
    assert error["code"] == "MODEL_NOT_FOUND"


def test_the_same_load_asked_for_twice_is_one_load(site: Site, tiny_model: TinyModel) -> None:
    model = site.register(tiny_model("llama"))
    with site.frames(models=[model["id"]]) as frames:
        first = site.ask("POST", f"/models/{model['id']}/load", json={})
        second = site.http.post(f"/api/models/{model['id']}/load", json={})
        frames.until("model:ready", model_id=model["id"])
    assert second.status_code in (200, 409), "409 only when the first was ready already"
    if second.status_code == 200:
        assert second.json()["task_id"] == first["task_id"]
    assert [f["type"] for f in frames.seen].count("model:ready") == 1


def test_a_model_with_auto_load_loads_by_itself(site: Site, tiny_model: TinyModel) -> None:
    with site.frames() as frames:
        model = site.register(tiny_model("gpt2"), auto_load=True)
        frames.until("model:ready", model_id=model["id"])


def test_events_missed_are_replayed_in_order(site: Site, tiny_model: TinyModel) -> None:
    with site.frames() as frames:
        model = site.register(tiny_model("gpt2"))
        frames.until("model:registered", model_id=model["id"])
        start = frames.seen[-1]["id"]
    site.load(model["id"])
    with site.frames(models=[model["id"]], devices=False, after=start) as frames:
        frames.until("model:ready", model_id=model["id"])
    kept = [f for f in frames.seen if f["id"] is not None and f["type"] != "subscribed"]
    assert [f["type"] for f in kept] == ["model:loading", "model:prepared", "model:ready"]
    assert [f["id"] for f in kept] == sorted(f["id"] for f in kept)


def test_a_stale_edit_is_refused(site: Site, tiny_model: TinyModel) -> None:
    model = site.register(tiny_model("gpt2"))
    shown = site.http.get(f"/api/models/{model['id']}")
    etag = shown.headers["etag"]
    site.ask("PATCH", f"/models/{model['id']}", json={"name": "one"}, headers={"If-Match": etag})
    error = site.error(
        "PATCH", f"/models/{model['id']}", 412, json={"name": "two"}, headers={"If-Match": etag}
    )
    assert error["code"] == "PRECONDITION_FAILED"


def test_a_repeated_registration_with_one_key_makes_one_model(
    site: Site, tiny_model: TinyModel
) -> None:
    body = {"name": "once", "source": "local", "model_identifier": str(tiny_model("gpt2"))}
    headers = {"Idempotency-Key": "register-once"}
    first = site.ask("POST", "/models", 201, json=body, headers=headers)
    second = site.ask("POST", "/models", 201, json=body, headers=headers)
    assert first["id"] == second["id"]
