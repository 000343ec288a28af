"""How long rows are in tokens, how positions and lengths are put together, and which rows count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistudio_contracts.errors import ExtractionFailed, InvalidInput, ModelLoadFailed
from mistudio_contracts.looking import CountTokensRequest, TokenLengths
from mistudio_contracts.values import Artifact, DatasetRef, Tokenization
from mistudio_extractor.domain.best import Best
from mistudio_extractor.domain.buckets import length_bins, position_buckets
from mistudio_extractor.domain.drawing import drawn
from mistudio_extractor.services import lengths as services
from mistudio_extractor.services.lengths import Lengths
from mistudio_extractor.services.tokenizing import tokenizer_of
from mistudio_extractor.storage.layout import Layout
from mistudio_testkit.models import ragged_texts

from .support import Disk
from .test_planning import begin_every_text


def count(disk: Disk, tiny: Artifact, dataset: DatasetRef, **how: object) -> TokenLengths:
    request = CountTokensRequest(
        artifact=tiny,
        dataset=dataset,
        tokenization=Tokenization.model_validate({"column": "text", **how}),
    )
    return Lengths(Layout(disk.settings)).count(request)


def test_few_rows_are_counted_whole_and_all_of_them(disk: Disk, tiny: Artifact) -> None:
    texts = ["", *ragged_texts(98, longest=90), "one two " * 300]
    found = count(disk, tiny, disk.dataset(texts))
    ids = tokenizer_of(disk.directory(tiny))(texts)["input_ids"]
    lengths = sorted(map(len, ids))
    assert (found.column, found.rows_counted, found.total_rows) == ("text", 100, 100)
    assert found.tokens == found.estimated_total_tokens == sum(lengths)
    assert (found.shortest, found.median, found.longest) == (0, lengths[49], lengths[-1])
    assert (found.context_length, found.over_context) == (256, sum(n > 256 for n in lengths))
    assert found.over_context > 0
    edges = [each.from_tokens for each in found.bins] + [found.bins[-1].to_tokens + 1]
    assert [each.rows for each in found.bins] == np.histogram(lengths, edges)[0].tolist()


def test_of_many_rows_some_are_drawn_the_same_ones_each_time(
    disk: Disk, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "PLACES", 2)
    dataset = disk.dataset([[1] * (1 + row % 50) for row in range(1000)], "text", group=300)
    found = count(disk, tiny, dataset)
    assert found == count(disk, tiny, dataset)
    assert (found.rows_counted, found.total_rows) == (64, 1000)
    assert found.estimated_total_tokens == found.tokens * 1000 // 64
    assert sum(each.rows for each in found.bins) == 64


def test_counting_ends_in_time(disk: Disk, tiny: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SECONDS", 0.0)
    found = count(disk, tiny, disk.dataset(["one two"] * 100))
    assert (found.rows_counted, found.total_rows) == (32, 100)


def test_special_tokens_count_where_they_are_asked_for(disk: Disk, tiny: Artifact) -> None:
    begin_every_text(disk.directory(tiny))
    dataset = disk.dataset(["one two"])
    with_them = count(disk, tiny, dataset).longest
    assert count(disk, tiny, dataset, add_special_tokens=False).longest == with_them - 1


def test_what_cannot_be_counted_says_why(disk: Disk, tiny: Artifact) -> None:
    dataset = disk.dataset(["one"])
    with pytest.raises(InvalidInput) as wrong:
        count(disk, tiny, dataset, column="body")
    assert wrong.value.details["reason"] == "wrong_column"
    elsewhere = dataset.model_copy(update={"fingerprint": "e" * 32})
    with pytest.raises(ExtractionFailed):
        count(disk, tiny, elsewhere)
    gone = tiny.model_copy(update={"fingerprint": "e" * 32})
    with pytest.raises(ModelLoadFailed):
        count(disk, gone, dataset)
    for name in ("tokenizer.json", "vocab.json"):
        (disk.directory(tiny) / name).unlink(missing_ok=True)
    tokenizer_of.cache_clear()
    with pytest.raises(InvalidInput) as caught:
        count(disk, tiny, dataset)
    assert caught.value.details["reason"] == "no_tokenizer"


@given(st.integers(0, 2_000_000))
def test_buckets_of_positions_are_exact_first_and_then_grow(longest: int) -> None:
    starts = position_buckets(longest)
    assert len(starts) <= 64
    assert starts[:32] == list(range(min(longest, 32)))
    sizes = np.diff([*starts[31:-1]]) if longest > 33 else np.ones(1)
    assert (sizes > 0).all()
    assert (np.diff(sizes) >= 0).all()
    assert max(starts, default=-1) < max(longest, 0)
    if longest > 64:
        assert len(starts) > 40, "no fewer than are seen as a curve"


def test_buckets_of_short_samples_are_positions() -> None:
    assert position_buckets(64) == list(range(64))


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60))
def test_bins_are_side_by_side_of_one_round_width_and_hold_every_length(lengths: list[int]) -> None:
    bins = length_bins(lengths)
    width = bins[0].to_tokens - bins[0].from_tokens + 1
    assert str(width).rstrip("0") in ("1", "2", "5")
    assert len(bins) <= 24
    edges = [each.from_tokens for each in bins] + [bins[-1].to_tokens + 1]
    assert set(np.diff(edges)) == {width}
    assert [each.rows for each in bins] == np.histogram(lengths, edges)[0].tolist()
    assert bins[0].rows > 0
    assert bins[-1].rows > 0


@given(st.integers(0, 500), st.integers(1, 3000))
def test_rows_are_drawn_once_each_and_from_everywhere(start: int, more: int) -> None:
    pieces = drawn("ab" * 16, start, start + more, 8, 16)
    rows = [row for first, last in pieces for row in range(first, last)]
    assert rows == sorted(set(rows))
    assert start <= rows[0] <= rows[-1] < start + more
    assert len(rows) == min(more, 128)
    assert pieces == drawn("ab" * 16, start, start + more, 8, 16)


@given(st.lists(st.integers(-4, 4), max_size=40), st.integers(1, 6), st.booleans())
def test_the_best_of_pieces_are_the_best_of_all(
    numbers: list[int], count: int, least: bool
) -> None:
    values = np.array([np.nan if n == 4 else np.inf if n == -4 else n for n in numbers], float)
    best = Best.none(least=least)
    for start in range(0, len(values), 7):
        best = best.with_more(values[start : start + 7], start, count)
    finite = [row for row, value in enumerate(values) if np.isfinite(value)]
    order = sorted(finite, key=lambda row: (values[row] if least else -values[row], row))[:count]
    assert best.rows.tolist() == order
    assert best.values.tolist() == values[order].tolist()
