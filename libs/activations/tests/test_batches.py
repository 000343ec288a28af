"""Batches give every row once, in an order that the seed decides, and go on where they were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils.data import DataLoader

import mistudio_activations as ma
from mistudio_activations.places import Where
from mistudio_activations.torch_data import ActivationDataset
from mistudio_testkit.s3 import S3Server

from .test_store import rows_of, write_shard

POINT, OTHER = "layers.0.resid_post", "layers.1.resid_post"
LENGTHS = ([5, 30, 1, 14], [20, 9], [40, 3, 8])
TOKENS = sum(map(sum, LENGTHS))
WIDTH = 4


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Where:
    """Three shards of two columns; the second is twice the first."""
    return make(tmp_path_factory.mktemp("batches") / "store", "float32")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Where:
    """The same in a bucket."""
    return make(s3_server.new_place(tmp_path_factory.mktemp("scratch")), "float32")


@pytest.fixture(params=["directory", "bucket"])
def path(request: pytest.FixtureRequest) -> Where:
    """The one and the other."""
    found: Where = request.getfixturevalue(request.param)
    return found


def make(path: Where, dtype: str) -> Where:
    rows = rows_of(TOKENS, WIDTH, dtype)
    files: dict[str, list[ma.ShardFile]] = {POINT: [], OTHER: []}
    tokens, start = [], 0
    for index, lengths in enumerate(LENGTHS):
        part = rows[start : start + sum(lengths)]
        columns = {POINT: part, OTHER: (part + part).astype(part.dtype)}
        shard, written = write_shard(path, index, lengths, columns, dtype)
        tokens.append(shard)
        for name, file in written.items():
            files[name].append(file)
        start += sum(lengths)
    ma.commit(path, columns=files, token_shards=tokens, info={})
    return path


def taken(batches: Sequence[ma.Batch]) -> NDArray[np.int64]:
    return np.concatenate([batch.rows for batch in batches])


def small(path: Where, size: int = 16, **more: Any) -> ma.Batches:
    options = {"block_bytes": 10 * WIDTH * 4, "buffer_bytes": 30 * WIDTH * 4, **more}
    return ma.open(path).batches([POINT], size, **options)


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 200),
    block=st.integers(1, 150),
    buffer=st.integers(1, 300),
    world=st.integers(1, 4),
    shuffle=st.booleans(),
)
def test_every_row_comes_once_whatever_the_sizes(
    directory: Where, size: int, block: int, buffer: int, world: int, shuffle: bool
) -> None:
    store = ma.open(directory)
    column = store[POINT][:]
    seen = []
    for rank in range(world):
        batches = list(
            store.batches(
                [POINT],
                size,
                shuffle=shuffle,
                rank=rank,
                world_size=world,
                block_bytes=block * 16,
                buffer_bytes=buffer * 16,
            )
        )
        assert all(len(batch.rows) == size for batch in batches[:-1])
        for batch in batches:
            np.testing.assert_array_equal(batch.columns[POINT], column[batch.rows])
            np.testing.assert_array_equal(batch.input_ids, store.input_ids[batch.rows])
        seen += [batch.rows for batch in batches]
    assert sorted(np.concatenate(seen).tolist()) == list(range(TOKENS))


def test_unshuffled_rows_come_in_order(path: Where) -> None:
    assert taken(list(small(path, shuffle=False))).tolist() == list(range(TOKENS))


def test_the_seed_and_the_epoch_decide_the_order(path: Where) -> None:
    batches = small(path, seed=3)
    first, second = taken(list(batches)), taken(list(batches))
    assert first.tolist() == taken(list(small(path, seed=3))).tolist()
    assert first.tolist() != second.tolist()
    assert first.tolist() != taken(list(small(path, seed=4))).tolist()


def test_rows_of_far_blocks_are_mixed(path: Where) -> None:
    rows = next(iter(small(path, size=30))).rows
    assert rows.max() - rows.min() > 30
    assert (np.diff(rows) != 1).sum() > 20


@pytest.mark.parametrize("done", [1, 4, 7])
def test_an_interrupted_epoch_goes_on_where_it_was(path: Where, done: int) -> None:
    whole = [batch.rows.tolist() for batch in small(path)]
    broken = small(path)
    running = iter(broken)
    head = [next(running).rows.tolist() for _ in range(done)]
    again = small(path)
    again.load_state_dict(broken.state_dict())
    assert head + [batch.rows.tolist() for batch in again] == whole
    assert again.state_dict() == {"epoch": 1, "batches": 0}


def test_several_columns_give_the_same_rows(path: Where) -> None:
    for batch in ma.open(path).batches([POINT, OTHER], 16):
        np.testing.assert_array_equal(batch.columns[OTHER], batch.columns[POINT] * 2)


def test_tokens_positions_and_outliers_are_left_out(path: Where) -> None:
    store = ma.open(path)
    norms = store[POINT].norms
    starts = store.offsets[:-1]
    positions = np.arange(TOKENS) - starts[np.searchsorted(starts, np.arange(TOKENS), "right") - 1]
    limit = float(np.quantile(norms, 0.8))
    keep = ma.Keep(frozenset([3, 1004]), positions=(1, 25), most_norm=limit)
    batches = list(small(path, keep=keep))
    expected = (positions >= 1) & (positions < 25) & (norms <= limit)
    expected &= ~np.isin(store.input_ids, [3, 1004])
    assert sorted(taken(batches).tolist()) == np.flatnonzero(expected).tolist()
    for batch in batches:
        np.testing.assert_array_equal(batch.positions, positions[batch.rows])


def test_an_incomplete_batch_can_be_left_out(path: Where) -> None:
    sizes = [len(batch.rows) for batch in small(path, drop_last=True)]
    assert sizes == [16] * (TOKENS // 16)


def test_a_view_gives_its_own_rows_alone(path: Where) -> None:
    view = ma.open(path).view(3)
    assert sorted(taken(list(view.batches([POINT], 7))).tolist()) == list(range(36))


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"rank": 2, "world_size": 2}, {"columns": []}]
)
def test_numbers_that_make_no_sense_are_refused(path: Where, wrong: dict[str, Any]) -> None:
    with pytest.raises(ma.ActivationsError):
        ma.open(path).batches(**{"columns": [POINT], **wrong})


def test_a_file_cut_short_meanwhile_is_told(tmp_path: Path) -> None:
    store = ma.open(make(tmp_path / "store", "float32"))
    assert store[POINT][0] is not None
    file = tmp_path / "store" / store[POINT].shards[0].path
    with file.open("r+b") as opened:
        opened.truncate(300)
    with pytest.raises(ma.StoreCorrupt, match="cut short"):
        list(store.batches([POINT], 16))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_data_loader_deals_blocks_out_to_its_workers(
    tmp_path: Path, dtype: str, workers: int
) -> None:
    made = make(tmp_path / "store", dtype)
    dataset = ActivationDataset(made, [POINT], 16, block_bytes=80, buffer_bytes=240)
    expected = ma.open(made)[POINT].to_torch()
    rows = []
    for batch in DataLoader(dataset, batch_size=None, num_workers=workers):
        assert torch.equal(batch[POINT], expected[batch["rows"]])
        rows += batch["rows"].tolist()
    assert sorted(rows) == list(range(TOKENS))
