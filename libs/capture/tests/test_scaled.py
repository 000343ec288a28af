"""Rows made int8 on the device are those that numpy makes of the same floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mistudio_activations
from mistudio_capture import CaptureModel, ScaledRows, capture_shard
from mistudio_capture import scaled as module
from mistudio_capture.scaled import scale_rows

from .conftest import Shard, captured, shard_of

POINTS = ["layers.0.resid_post", "layers.2.mlp_act"]


def rows_of(dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 33, generator=generator) * torch.logspace(-6, 4, 40)[:, None]
    rows[3] = 0
    rows[5, 1], rows[6, 2] = torch.nan, -torch.inf
    rows[7] = torch.finfo(dtype).max
    rows[8] = torch.finfo(dtype).smallest_normal
    return rows.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_torch_and_numpy_make_the_same_of_a_row(dtype: torch.dtype) -> None:
    rows = rows_of(dtype)
    found = scale_rows(rows).rows
    with np.errstate(over="ignore"):
        expected = mistudio_activations.scale_rows(rows.float().numpy())
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.scales, expected.scales)
    np.testing.assert_allclose(found.norms, expected.norms, rtol=1e-6)
    np.testing.assert_allclose(found.squares, expected.squares, rtol=1e-6)
    assert found.scales.isnan().nonzero().ravel().tolist() == [5, 6]


def test_rows_do_not_depend_on_the_pieces_they_came_in(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(torch.float32)
    whole = scale_rows(rows).rows
    monkeypatch.setitem(module.PIECE_BYTES, "cpu", 7 * 33 * 4)
    pieces = scale_rows(rows).rows
    for name in ("codes", "scales", "norms", "squares"):
        assert torch.equal(
            getattr(whole, name).nan_to_num(9), getattr(pieces, name).nan_to_num(9)
        ), name


def test_what_is_captured_as_int8_are_the_captured_floats(gpt2: CaptureModel, shard: Shard) -> None:
    """Identical samples, which run once, are written at each of their places."""
    again = shard_of([5, 9, 5])
    again.input_ids[14:19] = again.input_ids[:5]
    for each in (shard, again):
        floats = captured(gpt2, each, POINTS)
        taken: dict[str, dict[int, ScaledRows]] = {point: {} for point in POINTS}
        capture_shard(
            gpt2,
            *(each.input_ids, each.offsets, POINTS),
            lambda point, start, rows, taken=taken: taken[point].update({start: rows}),
            token_budget=48,
            dtype=torch.int8,
        )
        for point in POINTS:
            parts = [rows for _, rows in sorted(taken[point].items())]
            expected = scale_rows(floats[point]).rows
            for name in ("codes", "scales", "norms"):
                found = torch.cat([getattr(part, name) for part in parts])
                assert torch.equal(found, getattr(expected, name)), (point, name)
