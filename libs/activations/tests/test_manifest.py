"""A manifest says where rows come from, and later code reads what earlier code wrote.

``data/store_v1`` was written by the code of schema version 1: two shards of 3 and 2 samples.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import mistudio_activations as ma

from .test_store import rows_of, small_store, write_column

DATA = Path(__file__).parent / "data"
POINT = "layers.0.resid_post"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "store_v1", tmp_path / "store")


def document_of(store: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((store / "manifest.json").read_bytes())
    return found


def test_version_1_reads_as_ever(old: Path) -> None:
    store = ma.open(old)
    assert document_of(old)["schema_version"] == 1
    np.testing.assert_array_equal(store[POINT][:], np.load(DATA / "store_v1.rows.npy"))
    assert store[POINT].stats.quantization_error is None
    assert store.manifest.info.model is not None
    assert store.manifest.info.model.quantization == "int8"
    assert store.manifest.info.dataset == ma.DatasetInfo(fingerprint="2" * 32)
    assert store.manifest.info.rows_considered == 12
    store.verify()


def test_a_commit_to_version_1_keeps_its_rows_and_writes_version_2(old: Path) -> None:
    files = [
        write_column(old, "layers.1.resid_post", i, rows_of(n, 4, "float16"), "float16")
        for i, n in enumerate([7, 5])
    ]
    info = ma.Info(versions={"mistudio-activations": "9"})
    ma.commit(old, columns={"layers.1.resid_post": files}, token_shards=[], info=info)
    document = document_of(old)
    assert document["schema_version"] == 2
    assert document["columns"][POINT]["dtype"] == "float16"
    assert document["info"]["versions"] == {"mistudio-activations": "9"}
    assert document["info"]["model"]["revision"] == "1" * 40
    store = ma.open(old)
    assert store.columns == [POINT, "layers.1.resid_post"]
    np.testing.assert_array_equal(store[POINT][:], np.load(DATA / "store_v1.rows.npy"))
    store.verify()


def test_an_eviction_from_version_1_writes_version_2(old: Path) -> None:
    more = [
        write_column(old, "b", i, rows_of(n, 4, "float16"), "float16") for i, n in enumerate([7, 5])
    ]
    ma.commit(old, columns={"b": more}, token_shards=[], info={})
    ma.evict(old, [POINT])
    assert document_of(old)["schema_version"] == 2
    assert ma.open(old).columns == ["b"]


def test_what_version_1_held_beside_is_kept_as_notes(old: Path) -> None:
    path = old / "manifest.json"
    document = json.loads(path.read_bytes())
    document["info"] = {"model": "mine", "dataset": {"path": "x"}, "why": "to see"}
    path.write_text(json.dumps(document))
    info = ma.open(old).manifest.info
    assert info == ma.Info(notes={"model": "mine", "dataset": {"path": "x"}, "why": "to see"})


def test_a_part_of_the_shards_reads_as_a_store_of_its_own(tmp_path: Path) -> None:
    rows = small_store(tmp_path)
    whole = ma.open(tmp_path)
    part = ma.ActivationStore(whole.place, whole.manifest.part(1, 2))
    np.testing.assert_array_equal(part[POINT][:], rows[7:])
    np.testing.assert_array_equal(part.input_ids, whole.input_ids[7:])
    assert (part.samples, part.offsets.tolist()) == (2, [0, 3, 5])
    assert part.sample_ids.tolist() == [10, 11]
    part.verify()


def test_the_same_columns_and_origin_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        small_store(tmp_path / name)
    first, second = ((tmp_path / name / "manifest.json").read_bytes() for name in ("a", "b"))
    assert first == second


def test_what_is_not_known_stays_what_it_was(tmp_path: Path) -> None:
    before = ma.Info(
        model=ma.ModelInfo(fingerprint="f", dtype="float16"), rows_considered=3, notes={"a": 1}
    )
    after = ma.Info(rows_considered=5, versions={"torch": "2"}).over(before)
    assert after == ma.Info(before.model, None, None, 5, {"torch": "2"}, {"a": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema_version": 1},
        {"dtype": "int4"},
        {"columns": {"c": {"width": 4, "shards": []}}},
        {"info": {"model": {"path": "/home"}}},
        {"host": "here"},
    ],
)
def test_the_schema_refuses_what_no_manifest_says(tmp_path: Path, wrong: dict[str, Any]) -> None:
    small_store(tmp_path / "s")
    document = document_of(tmp_path / "s")
    schema = Draft202012Validator(ma.MANIFEST_SCHEMA)
    assert schema.is_valid(document)
    assert not schema.is_valid({**document, **wrong})


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "../other/tokens/00000.safetensors"},
        {"path": "../00000.safetensors"},
        {"path": "/etc/00000.safetensors"},
        {"path": "tokens/../../00000.safetensors"},
        {"path": "tok\\..\\00000.safetensors"},
        {"path": "tokens\x00/00000.safetensors"},
        {"path": "tokens/00000.safetensors\n"},
        {"tokens": -1},
        {"samples": 1.5},
        {"bytes": True},
        {"sha256": "A" * 64},
    ],
    ids=str,
)
def test_a_manifest_that_leads_out_of_its_store_or_counts_wrongly_is_refused(
    old: Path, changed: dict[str, Any]
) -> None:
    document = document_of(old)
    document["tokens"][0].update(changed)
    (old / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(ma.StoreCorrupt, match="cannot be read"):
        ma.open(old)


def test_a_manifest_nested_beyond_measure_is_refused(old: Path) -> None:
    (old / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(ma.StoreCorrupt, match="cannot be read"):
        ma.open(old)
