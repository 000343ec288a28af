"""A shard is cut into batches by its lengths and the budget alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mistudio_capture import iter_batches
from mistudio_capture.batching import Run, Sample, distinct, runs, tokens_of


def test_consecutive_samples_share_the_budget() -> None:
    assert list(iter_batches([4, 4, 3, 9, 1], 8)) == [(0, 2), (2, 3), (3, 4), (4, 5)]


def test_a_sample_beyond_the_budget_is_alone() -> None:
    assert list(iter_batches([2, 50, 2], 8)) == [(0, 1), (1, 2), (2, 3)]


def test_samples_may_be_limited_too() -> None:
    assert list(iter_batches([1] * 5, 100, max_samples=2)) == [(0, 2), (2, 4), (4, 5)]


def test_it_goes_on_from_any_sample() -> None:
    assert list(iter_batches([4, 4, 3, 9, 1], 12, first=2)) == [(2, 4), (4, 5)]


def test_padded_samples_all_count_as_the_longest() -> None:
    assert list(iter_batches([4, 4, 3, 9, 1], 9, padded=True)) == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert list(iter_batches([1, 1, 1, 5], 8, padded=True)) == [(0, 3), (3, 4)]


@given(
    lengths=st.lists(st.integers(0, 40), max_size=30),
    budget=st.integers(1, 64),
    most=st.none() | st.integers(1, 5),
    padded=st.booleans(),
)
def test_every_sample_is_in_one_batch_in_order(
    lengths: list[int], budget: int, most: int | None, padded: bool
) -> None:
    batches = list(iter_batches(lengths, budget, most, padded=padded))
    assert [i for start, end in batches for i in range(start, end)] == list(range(len(lengths)))
    for start, end in batches:
        assert end - start == 1 or tokens_of(lengths[start:end], padded=padded) <= budget
        assert most is None or end - start <= most


def samples(*texts: list[int], padded: bool = False) -> list[Sample]:
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    return distinct(np.concatenate(texts).astype(np.int32), offsets, padded=padded)


def test_identical_samples_are_one_with_several_places() -> None:
    found = samples([1, 2], [3], [1, 2], [2, 1])
    assert found == [Sample(2, (0, 3)), Sample(1, (2,)), Sample(2, (5,))]


def test_padded_samples_go_by_length_the_longest_first_and_else_in_order() -> None:
    found = samples([1], [2, 3], [4], [5, 6, 7], padded=True)
    assert found == [Sample(3, (4,)), Sample(2, (1,)), Sample(1, (0,)), Sample(1, (3,))]


def test_samples_in_order_are_one_run() -> None:
    assert runs([Sample(2, (7,)), Sample(3, (9,))]) == [Run(7, 0, 5)]


def test_samples_out_of_order_and_repeats_have_runs_of_their_own() -> None:
    batch = [Sample(2, (4, 8)), Sample(1, (0,)), Sample(3, (1,))]
    assert runs(batch) == [Run(4, 0, 2), Run(8, 0, 2), Run(0, 2, 6)]
