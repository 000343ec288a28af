"""Columns as arrays: just the cache's, in numpy's words or torch's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from mistudio_client import arrays
from mistudio_contracts.base import utcnow
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import Tokenization
from mistudio_contracts.views import Cache

SHAPE = (10, 4)


@dataclass
class InMemory:
    """A store of three samples and ten tokens, of which the cache shows two and seven."""

    dtype: Any
    input_ids: NDArray[Any] = field(default_factory=lambda: np.arange(10, dtype=np.int32))
    offsets: NDArray[Any] = field(default_factory=lambda: np.array([0, 3, 7, 10], dtype=np.int64))

    def __getitem__(self, hook_point: str) -> NDArray[Any]:
        layer = int(hook_point.split(".")[1])
        return (np.arange(40).reshape(SHAPE) + layer / 2).astype(self.dtype)


def cache_of(dtype: Dtype) -> Cache:
    return Cache(
        id="act_a",
        model_id="m_a",
        store_key="a" * 32,
        storage_path="/data/a",
        dtype=dtype,
        tokenization=Tokenization(),
        sample_count=2,
        token_count=7,
        layer_indices=[0, 3],
        hook_points=["layers.0.resid_post", "layers.3.resid_post"],
        activation_shape=[7, 4],
        file_size_bytes=1,
        created_at=utcnow(),
        last_accessed_at=utcnow(),
    )


NAMES = {"layers.0.resid_post", "layers.3.resid_post", "input_ids", "offsets"}
DTYPES = [
    (Dtype.FLOAT32, np.float32, np.float32),
    (Dtype.FLOAT16, np.float16, np.float16),
    (Dtype.BFLOAT16, ml_dtypes.bfloat16, np.float32),
]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows of float32 at a time, so that the last piece is a short one."""
    monkeypatch.setattr(arrays, "_PIECE_BYTES", 48)


@pytest.mark.parametrize(("dtype", "stored", "written"), DTYPES)
def test_npy_holds_what_the_cache_shows(
    tmp_path: Path, dtype: Dtype, stored: Any, written: Any
) -> None:
    store = InMemory(stored)

    arrays.write_arrays(store, cache_of(dtype), tmp_path, torch=False)

    assert {path.stem for path in tmp_path.glob("*.npy")} == NAMES
    column = np.load(tmp_path / "layers.3.resid_post.npy")
    assert column.dtype == written
    np.testing.assert_array_equal(column, store["layers.3.resid_post"][:7].astype(written))
    np.testing.assert_array_equal(np.load(tmp_path / "offsets.npy"), [0, 3, 7])
    assert np.load(tmp_path / "input_ids.npy").dtype == np.int32


@pytest.mark.parametrize(("dtype", "stored", "_"), DTYPES)
def test_pt_keeps_the_dtype(tmp_path: Path, dtype: Dtype, stored: Any, _: Any) -> None:
    import torch

    store = InMemory(stored)

    arrays.write_arrays(store, cache_of(dtype), tmp_path, torch=True)

    assert {path.name.removesuffix(".pt") for path in tmp_path.iterdir()} == NAMES
    column = torch.load(tmp_path / "layers.0.resid_post.pt", weights_only=True)
    assert column.dtype == getattr(torch, dtype.value)
    expected = store["layers.0.resid_post"][:7].astype(np.float32)
    np.testing.assert_array_equal(column.float().numpy(), expected)
