"""The way of an extraction: exact values on disk, through every real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mistudio_activations
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.reference import named, relative_error, resid_post
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

TinyModel = Callable[[str], Path]


@pytest.fixture
def ragged(home: Path) -> Path:
    return write_jsonl(home / "ragged.jsonl", ragged_texts(40))


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral"])
def test_captured_values_equal_plain_transformers(
    site: Site, tiny_model: TinyModel, ragged: Path, family: str
) -> None:
    model = site.ready_model(tiny_model(family))
    dataset = site.upload(ragged)
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, 2, -1])
    assert done["status"] == "completed", done["error"]
    assert done["layer_indices"] == [0, 2, 3]
    assert done["dtype"] == "float32"

    store = mistudio_activations.open(done["storage_path"])
    assert store.samples == 40
    samples = [store.sample(i)["input_ids"].tolist() for i in range(store.samples)]
    assert len({len(s) for s in samples}) > 5, "the samples are ragged"
    expected = resid_post(tiny_model(family), samples, [0, 2, 3])
    for layer, rows in expected.items():
        column = store[f"layers.{layer}.resid_post"]
        assert column.shape == (sum(map(len, samples)), 64)
        for i, reference in enumerate(rows):
            assert relative_error(column.sample(i), reference) <= 1e-5


def test_hook_points_are_listed_and_captured_by_name(
    site: Site, tiny_model: TinyModel, ragged: Path
) -> None:
    block = "model.layers.1"
    modules = {
        "embed": ("model.embed_tokens", "out"),
        "layers.1.k": (f"{block}.self_attn.k_proj", "out"),
        "layers.1.z": (f"{block}.self_attn.o_proj", "into"),
        "layers.1.mlp_act": (f"{block}.mlp.down_proj", "into"),
        "layers.1.mlp_out": (f"{block}.mlp", "out"),
        "final_norm": ("model.norm", "out"),
    }
    model = site.ready_model(tiny_model("llama"))
    listed = site.ask("GET", f"/models/{model['id']}/hook-points", 200)
    widths = {each["hook_point"]: each["width"] for each in listed["hook_points"]}
    dataset = site.upload(ragged)
    done = site.extract(
        model["id"],
        dataset_id=dataset["id"],
        layer_indices=[1],
        hook_kinds=["k", "z", "mlp_act", "mlp_out"],
        hook_points=["embed", "final_norm"],
    )
    assert done["status"] == "completed", done["error"]
    assert done["hook_points"] == list(modules)
    assert done["activation_shape"] is None, "keys and the MLP's inside have widths of their own"

    store = mistudio_activations.open(done["storage_path"])
    samples = [store.sample(i)["input_ids"].tolist() for i in range(store.samples)]
    for name, rows in named(tiny_model("llama"), samples, modules).items():
        assert store[name].shape == (sum(map(len, samples)), widths[name])
        for i, reference in enumerate(rows):
            assert relative_error(store[name].sample(i), reference) <= 1e-5


def test_a_hook_point_that_the_model_lacks_is_refused_with_the_reason(
    site: Site, tiny_model: TinyModel, ragged: Path
) -> None:
    model = site.ready_model(tiny_model("gptj"))
    error = site.error(
        "POST",
        f"/models/{model['id']}/extract-activations",
        400,
        json={"dataset_id": site.upload(ragged)["id"], "hook_points": ["layers.0.resid_mid"]},
    )
    assert "both read the block's input" in error["message"]
    assert "resid_post" in error["details"]["available"]


def test_the_same_request_again_answers_from_the_cache_and_says_so(
    site: Site, tiny_model: TinyModel, ragged: Path
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(ragged)
    body = {"dataset_id": dataset["id"], "layer_indices": [1, 3], "sample_count": 30}
    first = site.extract(model["id"], **body)
    assert (first["status"], first["cached"]) == ("completed", False)
    again = site.ask("POST", f"/models/{model['id']}/extract-activations", 202, json=body)
    assert (again["status"], again["cached"]) == ("completed", True)
    assert "cache" in again["message"].lower()
    shown = site.ask("GET", f"/models/{model['id']}/activations/{again['extraction_id']}")
    assert shown["storage_path"] == first["storage_path"]


def test_one_more_layer_leaves_the_columns_that_are_there_alone(
    site: Site, tiny_model: TinyModel, ragged: Path
) -> None:
    model = site.ready_model(tiny_model("llama"))
    dataset = site.upload(ragged)
    first = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0])
    column = Path(first["storage_path"]) / "layers.0.resid_post" / "00000.safetensors"
    before = column.stat()
    second = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0, 1])
    assert second["storage_path"] == first["storage_path"]
    assert (column.stat().st_ino, column.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    store = mistudio_activations.open(second["storage_path"])
    assert {"layers.0.resid_post", "layers.1.resid_post"} <= set(store.columns)


def test_progress_and_completion_are_told(site: Site, tiny_model: TinyModel, home: Path) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "many.jsonl", ragged_texts(300, seed=3)))
    with site.frames() as frames:
        accepted = site.ask(
            "POST",
            f"/models/{model['id']}/extract-activations",
            202,
            json={"dataset_id": dataset["id"], "layer_indices": [0]},
        )
        done = frames.until("extraction:completed", extraction_id=accepted["extraction_id"])
    live = [f["data"] for f in frames.seen if f["type"] == "extraction:progress"]
    assert live, "there is progress before completion"
    assert [p["progress"] for p in live] == sorted(p["progress"] for p in live)
    totals = [p["total_samples"] for p in live]
    assert set(totals) <= {0, 300}, "none before the samples are counted"
    assert totals == sorted(totals)
    assert done["total_samples"] == 300
    assert done["file_size_bytes"] > 0


def test_an_unloaded_model_is_placed_again_by_itself(
    site: Site, tiny_model: TinyModel, ragged: Path
) -> None:
    model = site.ready_model(tiny_model("mistral"))
    dataset = site.upload(ragged)
    with site.frames(models=[model["id"]]) as frames:
        site.ask("POST", f"/models/{model['id']}/unload")
        frames.until("model:unloaded", model_id=model["id"])
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[1])
    assert done["status"] == "completed", done["error"]
    assert site.ask("GET", f"/models/{model['id']}")["status"] == "ready"


def test_pretokenised_ids_are_taken_as_they_are(
    site: Site, tiny_model: TinyModel, home: Path
) -> None:
    rows = [[5, 6, 7], [8], [9, 10]]
    path = home / "ids.jsonl"
    path.write_text("".join(json.dumps({"input_ids": r}) + "\n" for r in rows), encoding="utf-8")
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(path)
    assert dataset["columns"] == {"input_ids": "tokens"}
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0])
    store = mistudio_activations.open(done["storage_path"])
    assert [store.sample(i)["input_ids"].tolist() for i in range(3)] == rows


def test_samples_longer_than_asked_for_are_counted_or_cut_but_never_in_silence(
    site: Site, tiny_model: TinyModel, ragged: Path
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(ragged)
    kept = site.extract(
        model["id"], dataset_id=dataset["id"], layer_indices=[0], tokenization={"max_length": 12}
    )
    assert kept["skipped"]["too_long"] > 0
    assert kept["total_samples"] + kept["skipped"]["too_long"] == 40
    cut = site.extract(
        model["id"],
        dataset_id=dataset["id"],
        layer_indices=[0],
        tokenization={"max_length": 12, "truncate": True},
    )
    assert (cut["total_samples"], cut["skipped"]["too_long"]) == (40, 0)
    store = mistudio_activations.open(cut["storage_path"])
    assert int(np.diff(store.offsets).max()) == 12


def test_long_samples_become_windows_whose_values_are_those_of_the_windows_alone(
    site: Site, tiny_model: TinyModel, ragged: Path
) -> None:
    model = site.ready_model(tiny_model("llama"))
    done = site.extract(
        model["id"],
        dataset_id=site.upload(ragged)["id"],
        layer_indices=[-1],
        tokenization={"max_length": 12, "stride": 8},
    )
    assert done["status"] == "completed", done["error"]
    assert done["skipped"]["too_long"] == 0
    assert done["total_samples"] > 40
    store = mistudio_activations.open(done["storage_path"])
    assert sorted(set(store.sample_ids.tolist())) == list(range(40))
    assert set((store.starts % 8).tolist()) == {0}
    samples = [store.sample(i)["input_ids"].tolist() for i in range(store.samples)]
    assert max(map(len, samples)) == 12
    column = store["layers.3.resid_post"]
    for i, expected in enumerate(resid_post(tiny_model("llama"), samples, [3])[3]):
        assert relative_error(column.sample(i), expected) <= 1e-5


def test_a_cache_is_listed_downloaded_and_deleted(
    site: Site, tiny_model: TinyModel, ragged: Path, home: Path
) -> None:
    model = site.ready_model(tiny_model("llama"))
    dataset = site.upload(ragged)
    done = site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[2])
    cache = site.ask("GET", f"/activations/{done['cache_id']}")
    assert cache["activation_shape"] == [done["total_tokens"], 64]
    listed = site.ask("GET", "/activations", params={"model_id": model["id"]})
    assert done["cache_id"] in {c["id"] for c in listed["activations"]}

    files = site.ask("GET", f"/activations/{done['cache_id']}/files")["files"]
    copy = home / "copy"
    for file in files:
        answer = site.http.get(f"/api/activations/{done['cache_id']}/files/{file['path']}")
        assert len(answer.content) == file["bytes"]
        target = copy / file["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(answer.content)
    mistudio_activations.open(copy).verify()

    with site.frames() as frames:
        site.ask("DELETE", f"/activations/{done['cache_id']}", 204)
        frames.until("cache:evicted", cache_id=done["cache_id"])
    site.error("GET", f"/activations/{done['cache_id']}", 404)


def test_a_cancelled_extraction_leaves_nothing_visible(
    site: Site, tiny_model: TinyModel, home: Path
) -> None:
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "big.jsonl", ragged_texts(3000, seed=5)))
    with site.frames() as frames:
        accepted = site.ask(
            "POST",
            f"/models/{model['id']}/extract-activations",
            202,
            json={"dataset_id": dataset["id"], "layer_indices": [0, 1, 2, 3]},
        )
        extraction_id = accepted["extraction_id"]
        frames.until("extraction:progress", extraction_id=extraction_id)
        site.ask("POST", f"/extractions/{extraction_id}/cancel")
        frames.until("extraction:cancelled", extraction_id=extraction_id)
    shown = site.ask("GET", f"/extractions/{extraction_id}")
    assert shown["status"] == "cancelled"
    assert shown["cache_id"] is None
