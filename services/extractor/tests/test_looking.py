"""Figures of a store for pictures of it, in a directory and in a bucket, in floats and in int8."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mistudio_activations as ma
from mistudio_contracts.errors import ErrorCode, ExtractionFailed, InvalidInput, NotFound
from mistudio_contracts.looking import (
    HeatMap,
    HeatMapRequest,
    Measure,
    Norms,
    NormsRequest,
    TopTokens,
    TopTokensRequest,
)
from mistudio_extractor.services import looking as services
from mistudio_extractor.services import measuring
from mistudio_extractor.services.looking import Looking
from mistudio_extractor.services.tokenizing import tokenizer_of
from mistudio_extractor.storage.layout import Layout
from mistudio_testkit.s3 import S3Server

from .support import POINTS, Disk
from .test_bucket import BucketDisk

KEY = "0" * 32
WIDTHS = dict(zip(POINTS, (6, 3), strict=True))
LENGTHS = ([3, 1, 5], [2, 70], [4, 2])
"""Of the samples of each shard."""
SAMPLES = [length for shard in LENGTHS for length in shard]
OFFSETS = np.cumsum([0, *SAMPLES])
TOKENS = int(OFFSETS[-1])
IDS = np.random.default_rng(5).integers(1, 512, TOKENS, np.int32)


@dataclass
class Stored:
    """Three shards of seven samples, with the columns as they read."""

    disk: Disk
    looking: Looking
    place: ma.Place
    rows: dict[str, NDArray[np.float64]]
    norms: dict[str, NDArray[np.float64]]

    def norms_of(self, samples: int = 7, points: list[str] = POINTS) -> Norms:
        asked = NormsRequest(store_key=KEY, hook_points=points, sample_count=samples)
        return self.looking.norms(asked)

    def heat_map(self, **fields: Any) -> HeatMap:
        return self.looking.heat_map(HeatMapRequest.model_validate(_asked(fields)))

    def top(self, **fields: Any) -> TopTokens:
        return self.looking.top_tokens(TopTokensRequest.model_validate(_asked(fields)))


def _asked(fields: dict[str, Any]) -> dict[str, Any]:
    return {"store_key": KEY, "hook_point": POINTS[0], "sample_count": 7, **fields}


@pytest.fixture(params=["directory float16", "bucket int8"])
def stored(request: pytest.FixtureRequest, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Stored:
    where, dtype = request.param.split()
    if where == "bucket":
        server: S3Server = request.getfixturevalue("s3_server")
        disk = BucketDisk.beside(disk, server, monkeypatch)
        disk.root.joinpath("way").mkdir()
    layout = Layout(disk.settings)
    store = layout.store(KEY)
    chance = np.random.default_rng(0)
    given = {
        name: (chance.normal(size=(TOKENS, width)) * 3).astype(np.float32)
        for name, width in WIDTHS.items()
    }
    given[POINTS[0]][8, 2] = np.inf
    tokens, columns, start = [], {name: [] for name in POINTS}, 0  # type: ignore[var-annotated]
    for index, lengths in enumerate(LENGTHS):
        offsets = np.cumsum([0, *lengths])
        end = start + int(offsets[-1])
        rows = np.arange(len(lengths)) + 10 * index
        starts = np.arange(len(lengths)) * 100
        tokens.append(ma.write_tokens(store, index, IDS[start:end], offsets, rows, starts))
        for name, files in columns.items():
            part = given[name][start:end]
            part = part if dtype == "int8" else part.astype(dtype)
            with ma.ShardWriter(store, name, index, *part.shape, dtype) as writer:
                writer.write(0, part)
                files.append(writer.close())
        start = end
    ma.commit(store, columns=columns, token_shards=tokens, info={})
    opened = ma.open(store)
    return Stored(
        disk,
        Looking(layout),
        store,
        {name: opened[name][:].astype(np.float64) for name in POINTS},
        {name: opened[name].norms.astype(np.float64) for name in POINTS},
    )


def of_positions(norms: NDArray[np.float64], tokens: int = TOKENS) -> list[float | None]:
    """Return the mean of the finite norms at each position, by a loop."""
    found: list[list[float]] = [[] for _ in range(max(SAMPLES))]
    for start, length in zip(OFFSETS, SAMPLES, strict=False):
        for position in range(length):
            if start + position < tokens and np.isfinite(norms[start + position]):
                found[position].append(norms[start + position])
    return [float(np.mean(each)) if each else None for each in found]


def test_norms_are_means_by_hook_point_and_position(stored: Stored) -> None:
    found = stored.norms_of()
    assert (found.hook_points, found.longest) == (POINTS, 70)
    assert (found.tokens_read, found.total_tokens) == (TOKENS, TOKENS)
    assert found.positions[:33] == list(range(33))
    assert len(found.positions) <= 64
    for name, means in zip(POINTS, found.mean_norms, strict=True):
        assert means[:32] == pytest.approx(of_positions(stored.norms[name])[:32])
    last = found.positions[-1]
    long = stored.norms[POINTS[1]][OFFSETS[4] + last : OFFSETS[5]]
    assert found.mean_norms[1][-1] == pytest.approx(long.mean())


def test_a_position_with_nothing_finite_has_no_norm(stored: Stored) -> None:
    means = stored.norms_of(samples=3, points=POINTS[:1]).mean_norms[0]
    assert means[4] is None, "the row with an infinity is the only one there"
    assert None not in means[:4]


def test_no_more_norms_are_read_than_there_is_time_for(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "NORMS_OF_ALL", 20)
    found = stored.norms_of()
    assert (found.tokens_read, found.total_tokens, found.longest) == (10, TOKENS, 5)
    for name, means in zip(POINTS, found.mean_norms, strict=True):
        assert means == pytest.approx(of_positions(stored.norms[name], 10)[:5])


def test_a_cache_of_fewer_samples_shows_no_more(stored: Stored) -> None:
    first = stored.norms_of(samples=4)
    assert (first.tokens_read, first.total_tokens) == (11, 11)
    assert stored.heat_map(sample_count=4).total_samples == 4
    assert stored.top(sample_count=4, count=200).total_tokens == 11
    assert stored.norms_of(samples=0).mean_norms == [[], []]
    assert stored.heat_map(sample_count=0).samples == []
    assert stored.top(sample_count=0).tokens == []


DIRECTION = [0.5, -1.0, 0.0, 2.0, 0.25, 1.0]
UNIT = np.array(DIRECTION) / np.linalg.norm(DIRECTION)

MEASURES: dict[str, Callable[[Stored], NDArray[np.float64]]] = {
    "norm": lambda stored: stored.norms[POINTS[0]],
    "neuron": lambda stored: stored.rows[POINTS[0]][:, 4],
    "direction": lambda stored: np.array([float(row @ UNIT) for row in stored.rows[POINTS[0]]]),
}
ALONG: dict[str, dict[str, Any]] = {
    "norm": {},
    "neuron": {"neuron": 4},
    "direction": {"direction": DIRECTION},
}


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_heat_map_has_a_number_for_each_token(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "VALUES", 24)
    monkeypatch.setattr(services, "MOST_SHOWN", 60)
    for measure in MEASURES:
        check_heat_map(stored, measure)


def check_heat_map(stored: Stored, measure: str) -> None:
    found = stored.heat_map(along=ALONG[measure], first_sample=2, samples=4)
    assert (found.measure, found.width, found.total_samples) == (Measure(measure), 6, 7)
    assert [each.sample for each in found.samples] == [2, 3, 4, 5]
    assert [each.row for each in found.samples] == [2, 10, 11, 20]
    assert [each.start for each in found.samples] == [200, 0, 100, 0]
    assert [each.token_count for each in found.samples] == [5, 2, 70, 4]
    expected = MEASURES[measure](stored)
    for each in found.samples:
        start = int(OFFSETS[each.sample])
        shown = min(60, each.token_count)
        assert each.input_ids == IDS[start : start + shown].tolist()
        values = [v if np.isfinite(v) else None for v in expected[start : start + shown].tolist()]
        assert each.values == pytest.approx(values, rel=1e-12)
        assert each.texts is None, "there is no model"
    if measure != "neuron":
        assert found.samples[0].values[-1] is None, "of the row with an infinity"


@pytest.mark.filterwarnings("ignore:invalid value")
def test_top_tokens_are_those_of_all_tokens(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "VALUES", 24)
    for measure in MEASURES:
        for least in (False, True):
            check_top_tokens(stored, measure, least)


def check_top_tokens(stored: Stored, measure: str, least: bool) -> None:
    found = stored.top(along=ALONG[measure], count=5, least=least)
    values = MEASURES[measure](stored)
    finite = np.flatnonzero(np.isfinite(values))
    order = finite[np.argsort(values[finite] if least else -values[finite], kind="stable")][:5]
    rows = [int(OFFSETS[each.sample]) + each.position for each in found.tokens]
    assert rows == order.tolist()
    assert [each.value for each in found.tokens] == pytest.approx(values[order], rel=1e-12)
    assert [each.input_id for each in found.tokens] == IDS[order].tolist()
    shard_of = np.repeat(range(3), [len(shard) for shard in LENGTHS])
    first = np.array([0, 3, 5])
    for each in found.tokens:
        shard = int(shard_of[each.sample])
        assert each.row == 10 * shard + each.sample - first[shard]
    assert (found.tokens_read, found.total_tokens) == (TOKENS, TOKENS)


def test_the_search_for_top_tokens_ends_in_time_and_says_how_far_it_came(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "VALUES", 24)
    monkeypatch.setattr(services, "SECONDS", 0.0)
    found = stored.top(along={"neuron": 0}, count=200)
    assert (found.tokens_read, found.total_tokens) == (4, TOKENS)
    assert sorted(each.sample for each in found.tokens) == [0, 0, 0, 1]


def test_a_direction_counts_by_where_it_points_alone(stored: Stored) -> None:
    usual = stored.top(along={"direction": DIRECTION}).tokens[0].value
    for scale in (1e-300, 1e300):
        long = [scale * each for each in DIRECTION]
        found = stored.top(along={"direction": long}).tokens[0].value
        assert found == pytest.approx(usual)


def test_what_the_rows_have_not_is_refused_by_field(stored: Stored) -> None:
    neuron, direction = {"along": {"neuron": 6}}, {"along": {"direction": [1.0] * 5}}
    wrong: list[tuple[Callable[..., object], dict[str, Any], str, str]] = [
        (stored.heat_map, neuron, "along.neuron", "out_of_range"),
        (stored.heat_map, direction, "along.direction", "wrong_width"),
        (stored.heat_map, {"first_sample": 7}, "first_sample", "out_of_range"),
        (stored.top, neuron, "along.neuron", "out_of_range"),
        (stored.top, direction, "along.direction", "wrong_width"),
    ]
    for ask, fields, field, reason in wrong:
        with pytest.raises(InvalidInput) as caught:
            ask(**fields)
        assert (caught.value.details["field"], caught.value.details["reason"]) == (field, reason)
        assert caught.value.details["remedy"]


def asks(stored: Stored) -> list[Callable[[], object]]:
    return [stored.norms_of, stored.heat_map, lambda: stored.top(along={"neuron": 0})]


def test_a_column_that_is_deleted_is_gone(stored: Stored) -> None:
    ma.evict(stored.place, POINTS[:1])
    for ask in asks(stored):
        with pytest.raises(NotFound) as caught:
            ask()
        assert caught.value.code is ErrorCode.CACHE_NOT_FOUND


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_store_that_is_deleted_meanwhile_is_gone_and_not_damaged(
    stored: Stored, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_evict(*asked: Any) -> object:
        ma.evict(stored.place, None)
        return opened(*asked)

    opened = services.Parts
    monkeypatch.setattr(services, "Parts", first_evict)
    with pytest.raises(NotFound) as caught:
        asks(stored)[place]()
    assert caught.value.code is ErrorCode.CACHE_NOT_FOUND


def test_a_damaged_file_is_told_as_such(stored: Stored) -> None:
    stored.place.delete([f"{POINTS[0]}/00000.safetensors"])
    for ask in asks(stored):
        with pytest.raises(ExtractionFailed) as caught:
            ask()
        assert caught.value.details["reason"] == "store_damaged"
        assert "Verify" in caught.value.details["remedy"]


def with_model(stored: Stored, model: Path) -> Path:
    """Say in the manifest that the rows are of this model, and return its artifact."""
    artifact = stored.disk.artifact(model)
    info = ma.Info(model=ma.ModelInfo(fingerprint=artifact.fingerprint))
    ma.commit(stored.place, columns={}, token_shards=[], info=info)
    return stored.disk.directory(artifact)


def test_tokens_are_read_by_the_tokenizer_of_the_model(
    stored: Stored, tiny_model: Callable[[str], Path]
) -> None:
    artifact = with_model(stored, tiny_model("gpt2"))
    tokenizer = tokenizer_of(artifact)
    (sample,) = stored.heat_map(first_sample=4, samples=1).samples
    ids = sample.input_ids
    assert sample.texts == [tokenizer.decode([each]) for each in ids]
    best = next(t for t in stored.top(count=200).tokens if (t.sample, t.position) == (4, 20))
    assert (best.text, best.before, best.after) == (
        tokenizer.decode([ids[20]]),
        tokenizer.decode(ids[12:20]),
        tokenizer.decode(ids[21:29]),
    )

    for name in ("tokenizer.json", "artifact.json"):
        tokenizer_of.cache_clear()
        (artifact / name).unlink()
        assert stored.heat_map().samples[0].texts is None
        assert stored.top().tokens[0].text is None
    shutil.rmtree(artifact)
    assert stored.top().tokens[0].before is None
