"""Looking into a cache through every service: figures are those of the rows on the disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest

import mistudio_activations
from mistudio_testkit.models import ragged_texts, write_jsonl
from mistudio_testkit.site import Site

pytestmark = pytest.mark.stack

POINT = "layers.3.resid_post"


def test_what_is_shown_of_a_cache_is_what_lies_in_it(
    site: Site, tiny_model: Callable[[str], Path], home: Path
) -> None:
    from transformers import AutoTokenizer

    texts = ragged_texts(30, seed=11, longest=120)
    model = site.ready_model(tiny_model("gpt2"))
    dataset = site.upload(write_jsonl(home / "shown.jsonl", texts))
    done = site.extract(
        model["id"],
        dataset_id=dataset["id"],
        layer_indices=[0, 3],
        tokenization={"truncate": True},
    )
    assert done["status"] == "completed", done["error"]
    cache = f"/activations/{done['cache_id']}"
    store = mistudio_activations.open(done["storage_path"])
    offsets, ids = store.offsets, store.input_ids
    rows = store[POINT][:].astype(np.float64)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("gpt2"))

    norms = site.ask("GET", f"{cache}/norms")
    assert (norms["hook_points"], norms["tokens_read"]) == (done["hook_points"], len(rows))
    positions = np.concatenate([np.arange(length) for length in np.diff(offsets)])
    assert norms["longest"] == positions.max() + 1
    for name, means in zip(norms["hook_points"], norms["mean_norms"], strict=True):
        each = np.linalg.norm(store[name][:].astype(np.float64), axis=1)
        edges = pairwise([*norms["positions"], norms["longest"]])
        expected = [each[(positions >= low) & (positions < high)].mean() for low, high in edges]
        assert means == pytest.approx(expected, rel=1e-5)

    direction = np.random.default_rng(1).normal(size=64)
    along = rows @ (direction / np.linalg.norm(direction))
    body = {"hook_point": POINT, "along": {"direction": direction.tolist()}}
    shown = site.ask("POST", f"{cache}/heat-map", json={**body, "first_sample": 4, "samples": 3})
    assert (shown["total_samples"], shown["width"]) == (30, 64)
    assert [sample["sample"] for sample in shown["samples"]] == [4, 5, 6]
    for sample in shown["samples"]:
        start, end = offsets[sample["sample"]], offsets[sample["sample"] + 1]
        assert sample["input_ids"] == ids[start:end].tolist()
        assert sample["values"] == pytest.approx(along[start:end], rel=1e-9)
        assert sample["texts"] == [tokenizer.decode([i]) for i in sample["input_ids"]]
        assert texts[sample["row"]].startswith("".join(sample["texts"]))

    for least, best in ((False, -np.sort(-along)), (True, np.sort(along))):
        found = site.ask("POST", f"{cache}/top-tokens", json={**body, "count": 10, "least": least})
        assert (found["tokens_read"], found["total_tokens"]) == (len(rows), len(rows))
        told = [int(offsets[t["sample"]]) + t["position"] for t in found["tokens"]]
        assert len(set(told)) == 10
        values = [t["value"] for t in found["tokens"]]
        assert values == pytest.approx(along[told], rel=1e-9)
        assert values == pytest.approx(best[:10], rel=1e-9), "equal tokens have equal values"
        assert all(t["before"] + t["text"] in texts[t["row"]] for t in found["tokens"])

    error = site.error(
        "POST", f"{cache}/heat-map", 400, json={"hook_point": POINT, "along": {"neuron": 64}}
    )
    assert (error["details"]["field"], error["details"]["width"]) == ("along.neuron", 64)

    lengths = site.ask(
        "GET", f"/models/{model['id']}/token-lengths", params={"dataset_id": dataset["id"]}
    )
    counted = sorted(len(each) for each in tokenizer(texts)["input_ids"])
    assert (lengths["column"], lengths["rows_counted"], lengths["tokens"]) == (
        "text",
        30,
        sum(counted),
    )
    assert (lengths["shortest"], lengths["longest"]) == (counted[0], counted[-1])
    assert lengths["over_context"] == sum(length > 256 for length in counted)
    for each in lengths["bins"]:
        between = [n for n in counted if each["from_tokens"] <= n <= each["to_tokens"]]
        assert each["rows"] == len(between)

    link = site.ask("POST", f"{cache}/download-link")
    archive = httpx.get(site.url + link["url"]).content
    assert len(archive) == link["bytes"]
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(home, filter="data")
    mistudio_activations.open(home / done["cache_id"]).verify()
