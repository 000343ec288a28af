"""What no manifest names is deleted, what one names never."""

from __future__ import annotations

import pytest

import mistudio_activations as ma
from mistudio_activations.places import Place

from .test_store import rows_of, small_store, write_column, write_shard


def names(place: Place) -> set[str]:
    return {file.path for file in place.files()}


def test_shards_of_an_extraction_that_did_not_end_are_deleted(place: Place) -> None:
    small_store(place)
    visible = names(place)
    write_column(place, "layers.1.resid_post", 0, rows_of(7, 4, "float32"), "float32")
    write_shard(place, 2, [3], {"layers.0.resid_post": rows_of(3, 4, "float32")}, "float32")
    place.write("tokens/skipped.bin", b"not ours to judge")
    left = place.usage()
    assert ma.gc(place) == 0, "a day has not passed"
    freed = ma.gc(place, lease=0)
    assert names(place) == visible | {"tokens/skipped.bin"}
    assert freed == left - place.usage() > 0
    ma.open(place).verify()
    assert ma.open(place)["layers.0.resid_post"].stats.count == 12
    assert ma.gc(place, lease=0) == 0


def test_where_nothing_is_visible_nothing_of_ours_stays(place: Place) -> None:
    write_shard(place, 0, [3], {"c": rows_of(3, 4, "float32")}, "float32")
    assert ma.gc(place, lease=0) > 0
    assert names(place) == set()
    assert ma.gc(place, lease=0) == 0


def test_a_manifest_that_cannot_be_read_keeps_everything(place: Place) -> None:
    small_store(place)
    place.write("manifest.json", b"{")
    before = names(place)
    with pytest.raises(ma.StoreCorrupt):
        ma.gc(place, lease=0)
    assert names(place) == before
