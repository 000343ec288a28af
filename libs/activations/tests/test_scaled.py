"""int8 rows read as float32, within the error that the store tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open

import mistudio_activations as ma
from mistudio_activations.scaled import decode, scale_rows

from .test_batches import LENGTHS, TOKENS
from .test_store import write_shard

POINT = "layers.0.resid_post"
WIDTH = 6
SHARD_OF = np.repeat(np.arange(len(LENGTHS)), [sum(each) for each in LENGTHS])


def captured(seed: int = 0) -> NDArray[np.float32]:
    """Rows as residual streams are: of very different sizes, with a few values far out."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(TOKENS, WIDTH)) * rng.lognormal(0, 2, size=(TOKENS, 1))
    rows[:, 3] *= 30
    return rows.astype(np.float32)


def make(path: Path, rows: NDArray[np.float32]) -> Path:
    tokens, files = [], []
    for index, lengths in enumerate(LENGTHS):
        part = rows[index == SHARD_OF]
        shard, written = write_shard(path, index, lengths, {POINT: part}, "int8")
        tokens.append(shard)
        files.append(written[POINT])
    ma.commit(path, columns={POINT: files}, token_shards=tokens, info={})
    return path


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return captured()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, rows: NDArray[np.float32]) -> Path:
    return make(tmp_path_factory.mktemp("scaled") / "store", rows)


def test_a_row_is_off_by_at_most_half_a_step_of_its_own(
    path: Path, rows: NDArray[np.float32]
) -> None:
    read = ma.open(path)[POINT][:]
    step = np.abs(rows).max(axis=1, keepdims=True) / 127
    assert read.dtype == np.float32
    assert (np.abs(read - rows) <= step * (0.5 + 1e-5)).all()
    np.testing.assert_allclose(np.abs(read).max(axis=1), np.abs(rows).max(axis=1), rtol=1e-6)


def test_every_way_of_reading_gives_the_same_rows(path: Path) -> None:
    store = ma.open(path)
    column = store[POINT]
    whole = column[:]
    assert (column.shape, column.dtype, store.dtype) == ((TOKENS, WIDTH), np.float32, np.float32)
    np.testing.assert_array_equal(column[45:75], whole[45:75])  # across shards
    np.testing.assert_array_equal(column[::-3], whole[::-3])
    np.testing.assert_array_equal(column[-1], whole[-1])
    np.testing.assert_array_equal(column[[99, 0, 50]], whole[[99, 0, 50]])
    np.testing.assert_array_equal(column[whole[:, 0] > 0], whole[whole[:, 0] > 0])
    np.testing.assert_array_equal(column.sample(4), whole[50:70])
    np.testing.assert_array_equal(store.sample(4)[POINT], whole[50:70])
    np.testing.assert_array_equal(column.to_torch().numpy(), whole)
    batches = store.batches([POINT], 16, block_bytes=60, buffer_bytes=180)
    seen = 0
    for batch in batches:
        np.testing.assert_array_equal(batch.columns[POINT], whole[batch.rows])
        seen += len(batch.rows)
    assert seen == TOKENS


def test_what_lies_on_the_disk_can_be_had_as_it_is(path: Path) -> None:
    column = ma.open(path)[POINT]
    assert column.raw.dtype == np.int8
    assert column.scales is not None
    np.testing.assert_array_equal(column.raw[:] * column.scales[:, None], column[:])
    assert column.raw[:].min() >= -127


def test_norms_are_of_the_rows_before_they_were_rounded(
    path: Path, rows: NDArray[np.float32]
) -> None:
    column = ma.open(path)[POINT]
    exact = np.linalg.norm(rows.astype(np.float64), axis=1)
    np.testing.assert_allclose(column.norms, exact, rtol=1e-6)
    assert not np.allclose(np.linalg.norm(column[:], axis=1), exact, rtol=1e-6)


def test_the_error_is_measured_and_told(path: Path, rows: NDArray[np.float32]) -> None:
    column = ma.open(path)[POINT]
    true, read = rows.astype(np.float64), column[:].astype(np.float64)
    lost = np.linalg.norm(true - read, axis=1)
    norms = np.linalg.norm(true, axis=1)
    cosines = (true * read).sum(axis=1) / (norms * np.linalg.norm(read, axis=1))
    told = column.quantization_error
    assert told is not None
    assert told.relative_error == pytest.approx(np.linalg.norm(lost) / np.linalg.norm(norms))
    assert told.max_row_error == pytest.approx((lost / norms).max())
    assert told.mean_cosine == pytest.approx(cosines.mean())
    assert 0 < told.relative_error < 0.01
    assert column.stats.quantization_error == told
    document = json.loads((path / "manifest.json").read_bytes())
    assert document["columns"][POINT]["quantization_error"] == vars(told)


def test_it_takes_half_of_float16(path: Path) -> None:
    shard = ma.open(path).manifest.columns[POINT].shards[0]
    assert shard.tokens * WIDTH < shard.bytes < shard.tokens * (WIDTH + 8) + 512


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_other_programs_read_the_shards(tmp_path: Path, width: int) -> None:
    """Also where codes end at no multiple of four bytes."""
    values = np.random.default_rng(0).normal(size=(5, width)).astype(np.float32)
    _, files = write_shard(tmp_path, 0, [5], {"c": values}, "int8")
    expected = scale_rows(values)
    with safe_open(tmp_path / files["c"].path, framework="pt") as file:
        assert torch.equal(file.get_tensor("activations"), torch.from_numpy(expected.codes))
        assert torch.equal(file.get_tensor("scales"), torch.from_numpy(expected.scales))
        assert torch.equal(file.get_tensor("norms"), torch.from_numpy(expected.norms))


def test_rows_out_of_order_give_the_same_files(tmp_path: Path, rows: NDArray[np.float32]) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for store, starts in ((first, (0, 40, 80, 120)), (second, (80, 0, 120, 40))):
        with ma.ShardWriter(store, "c", 0, TOKENS, WIDTH, "int8") as writer:
            for start in starts:
                writer.write(start, rows[start : start + 40])
            writer.close()
    shards = [(each / "c" / "00000.safetensors").read_bytes() for each in (first, second)]
    assert shards[0] == shards[1]
    ma.commit(
        first,
        columns={"c": [ma.shard_file(first, "c", 0, TOKENS)]},
        token_shards=[
            ma.write_tokens(
                first, 0, np.zeros(TOKENS, np.int32), np.array([0, TOKENS]), np.array([0])
            )
        ],
        info={},
    )
    ma.open(first).verify()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_row_with_a_value_that_is_not_finite_reads_as_none_and_is_counted(
    tmp_path: Path, bad: float
) -> None:
    rows = captured(1)
    rows[7, 2] = bad
    store = ma.open(make(tmp_path / "store", rows))
    column = store[POINT]
    assert np.isnan(column[7]).all()
    assert np.isfinite(np.delete(column[:], 7, axis=0)).all()
    assert not np.isfinite(column.norms[7])
    assert column.stats.non_finite == WIDTH
    assert np.isfinite(column.stats.mean).all()
    told, clean = column.quantization_error, scale_rows(np.delete(rows, 7, axis=0))
    assert told is not None
    assert told.relative_error == pytest.approx(
        np.sqrt(clean.squares[:, 2].sum() / clean.squares[:, 0].sum())
    )


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.floats(width=32),
                st.sampled_from([0.0, 1e-45, 3e-44, -1e-38, 3.4e38]),
            ),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_floats_become_codes_that_read_near_them(values: list[list[float]]) -> None:
    rows = np.array(values, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        made = scale_rows(rows)
    read = decode(made.codes, made.scales)
    finite = np.isfinite(rows).all(axis=1)
    assert np.isnan(read[~finite]).all()
    largest = np.abs(rows[finite]).max(axis=1, initial=0, keepdims=True).astype(np.float64)
    smallest = np.finfo(np.float32).smallest_subnormal
    # A scale below the normal numbers is itself rounded: each code may then be off by that much.
    slack = largest * 1e-6 + 127 * smallest
    assert (np.abs(read[finite].astype(np.float64) - rows[finite]) <= largest / 254 + slack).all()
    assert (made.codes > -128).all()


def test_a_shard_of_floats_takes_no_scaled_rows(tmp_path: Path, rows: NDArray[Any]) -> None:
    with (
        ma.ShardWriter(tmp_path, "c", 0, TOKENS, WIDTH, "float32") as writer,
        pytest.raises(ma.ActivationsError, match="float32"),
    ):
        writer.write(0, scale_rows(rows))
