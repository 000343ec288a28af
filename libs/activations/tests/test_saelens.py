"""What is exported for SAELens. That it trains on it, the documentation's tutorial shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import load_from_disk
from numpy.typing import NDArray

import mistudio_activations as ma
from mistudio_activations import saelens

from .test_store import write_shard

POINT = "layers.3.resid_post"
HOOK = "blocks.3.hook_resid_post"
WIDTH, CONTEXT = 16, 8
RNG = np.random.default_rng(0)
LENGTHS = [RNG.integers(3, 40, 40).tolist() for _ in range(2)]
TOKENS = sum(map(sum, LENGTHS))


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    """Sums of a few directions: what an SAE can learn."""
    directions = RNG.normal(size=(24, WIDTH))
    chosen = RNG.random((TOKENS, 24)) < 0.1
    return ((chosen * RNG.random((TOKENS, 24))) @ directions).astype(np.float32)


def make(path: Path, rows: NDArray[np.float32], dtype: str) -> ma.ActivationStore:
    kept = rows if dtype == "int8" else rows.astype(ma.rawfile.STORE_DTYPES[dtype])
    tokens, files, start = [], [], 0
    for index, lengths in enumerate(LENGTHS):
        end = start + sum(lengths)
        shard, written = write_shard(path, index, lengths, {POINT: kept[start:end]}, dtype)
        tokens.append(shard)
        files.append(written[POINT])
        start = end
    ma.commit(path, columns={POINT: files}, token_shards=tokens, info={})
    return ma.open(path)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_windows_hold_the_rows_and_their_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: NDArray[np.float32], dtype: str
) -> None:
    monkeypatch.setattr(saelens, "SHARD_BYTES", 20 * CONTEXT * WIDTH * 4)
    store = make(tmp_path / "store", rows, dtype)
    done = ma.export_saelens(store, POINT, tmp_path / "out", context_size=CONTEXT)
    assert (done.hook_name, done.windows) == (HOOK, TOKENS // CONTEXT)
    assert done.rows_left_out == TOKENS % CONTEXT
    found = load_from_disk(tmp_path / "out").with_format("numpy")
    assert len(list((tmp_path / "out").glob("*.arrow"))) > 3
    assert found.features[HOOK].shape == (CONTEXT, WIDTH)
    assert found.features[HOOK].dtype == ("float16" if dtype == "float16" else "float32")
    used = done.windows * CONTEXT
    np.testing.assert_array_equal(
        found[:][HOOK].reshape(used, WIDTH), store[POINT][:used].astype(np.float32)
    )
    np.testing.assert_array_equal(found[:]["token_ids"].ravel(), store.input_ids[:used])


def test_whole_windows_cross_no_sample(tmp_path: Path, rows: NDArray[np.float32]) -> None:
    store = make(tmp_path / "store", rows, "float32")
    done = ma.export_saelens(
        store, POINT, tmp_path / "out", context_size=CONTEXT, windows=ma.Windows.WHOLE
    )
    expected = []
    for index in range(store.samples):
        ids = store.sample(index)["input_ids"]
        expected += [ids[i : i + CONTEXT] for i in range(0, len(ids) - CONTEXT + 1, CONTEXT)]
    found = load_from_disk(tmp_path / "out").with_format("numpy")
    np.testing.assert_array_equal(found[:]["token_ids"], np.array(expected))
    assert done.windows == len(expected)
    assert done.rows_left_out == TOKENS - len(expected) * CONTEXT


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("layers.0.resid_pre", "blocks.0.hook_resid_pre"),
        ("layers.11.mlp_act", "blocks.11.mlp.hook_post"),
        ("layers.2.z", "blocks.2.attn.hook_z"),
        ("embed", "hook_embed"),
        ("final_norm", "ln_final.hook_normalized"),
        ("mine", "mine"),
    ],
)
def test_hook_points_are_named_as_transformer_lens_does(column: str, name: str) -> None:
    assert ma.hook_name_of(column) == name


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path, rows: NDArray[np.float32]) -> None:
    store = make(tmp_path / "store", rows, "float32")
    with pytest.raises(ma.ActivationsError, match="no sample gives a window of 64"):
        ma.export_saelens(store, POINT, tmp_path / "out", context_size=64, windows=ma.Windows.WHOLE)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(ma.ActivationsError, match="there already"):
        ma.export_saelens(store, POINT, tmp_path / "taken", context_size=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".store.lock", "store", "taken"]
