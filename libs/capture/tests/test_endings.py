"""However a capture ends, no hook, thread, row or warning is left that should not be."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mistudio_capture import (
    CaptureCancelled,
    CaptureError,
    CaptureModel,
    OutOfDeviceMemory,
    capture_shard,
    iter_batches,
)
from mistudio_testkit.models import make_model
from mistudio_testkit.reference import relative_error, resid_post

from .conftest import LENGTHS, ModelOf, Shard, captured, shard_of

ALL = tuple(f"layers.{n}.resid_post" for n in range(4))


def nothing(*_: object) -> None:
    """A sink that forgets."""


def write(model: CaptureModel, shard: Shard, sink: Callable[..., None], **options: Any) -> None:
    """Capture every column into ``sink``."""
    options = {"token_budget": 48, "dtype": torch.float32, **options}
    capture_shard(model, shard.input_ids, shard.offsets, ALL, sink, **options)


def nothing_left(model: CaptureModel) -> bool:
    """Return whether neither hooks nor writers are left."""
    hooks = [hook for m in model.decoder.modules() for hook in m._forward_hooks]
    return not hooks and "capture-writer" not in {t.name for t in threading.enumerate()}


class Broken(Exception):
    """What a test breaks with."""


def breaks(*_: object, **__: object) -> None:
    raise Broken


class TestErrors:
    def test_a_block_that_fails(
        self, gpt2: CaptureModel, shard: Shard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gpt2.blocks[2].mlp, "forward", breaks)
        with pytest.raises(Broken):
            write(gpt2, shard, nothing)
        assert nothing_left(gpt2)

    def test_a_sink_that_fails(self, gpt2: CaptureModel, shard: Shard) -> None:
        with pytest.raises(Broken):
            write(gpt2, shard, breaks)
        assert nothing_left(gpt2)

    def test_a_sink_that_fails_in_the_last_batch(self, gpt2: CaptureModel, shard: Shard) -> None:
        with pytest.raises(Broken):
            write(gpt2, shard, breaks, token_budget=10_000)
        assert nothing_left(gpt2)

    def test_progress_that_fails(self, gpt2: CaptureModel, shard: Shard) -> None:
        with pytest.raises(Broken):
            write(gpt2, shard, nothing, on_progress=breaks)
        assert nothing_left(gpt2)

    def test_a_request_to_stop(self, gpt2: CaptureModel, shard: Shard) -> None:
        with pytest.raises(CaptureCancelled):
            write(gpt2, shard, nothing, should_stop=lambda: True)
        assert nothing_left(gpt2)

    def test_a_sink_that_fails_while_the_pass_fails_does_not_hide_it(
        self, gpt2: CaptureModel, shard: Shard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, stopped = gpt2.run, threading.Event()

        def run(ids: torch.Tensor, bounds: list[int], *rest: Any) -> None:
            if ids[0] != shard.input_ids[0]:
                stopped.set()
                raise Broken
            real(ids, bounds, *rest)

        def sink(*_: object) -> None:
            assert stopped.wait(20)
            raise OSError("the disk left")

        monkeypatch.setattr(gpt2, "run", run)
        with pytest.raises(Broken):
            write(gpt2, shard, sink)


class TestOutOfMemory:
    @pytest.fixture
    def batches(self, gpt2: CaptureModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The sizes of all batches tried on a device that holds 70 tokens."""
        real, tried = gpt2.run, []

        def run(ids: torch.Tensor, bounds: list[int], points: Any, on_hook: Any) -> None:
            tried.append(len(ids))

            def later(point: str, hidden: torch.Tensor) -> None:
                on_hook(point, hidden)
                if point == ALL[1] and len(ids) > 70:
                    raise torch.cuda.OutOfMemoryError

            real(ids, bounds, points, later)

        monkeypatch.setattr(gpt2, "run", run)
        return tried

    def test_amid_the_blocks_nothing_is_written_twice(
        self, gpt2: CaptureModel, shard: Shard, batches: list[int]
    ) -> None:
        found = captured(gpt2, shard, ALL, token_budget=200)
        assert [len(found[point]) for point in ALL] == [sum(LENGTHS)] * 4
        assert batches[:2] == [152, 62]
        assert nothing_left(gpt2)

    def test_a_sample_alone_is_tried_once(self, gpt2: CaptureModel, batches: list[int]) -> None:
        with pytest.raises(OutOfDeviceMemory, match="80 tokens"):
            captured(gpt2, shard_of([3, 80]), ALL, token_budget=10_000, batch_size=1)
        assert batches == [3, 80]


class TestLoading:
    @pytest.fixture(autouse=True)
    def _transformers_is_heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)

    def test_a_head_in_the_checkpoint_is_no_surprise(
        self, model_of: ModelOf, caplog: pytest.LogCaptureFixture
    ) -> None:
        CaptureModel.load(model_of("llama"))
        assert not caplog.records

    def test_any_other_tensor_is_warned_of(
        self, model_of: ModelOf, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        from safetensors.torch import load_file, save_file

        source = model_of("llama")
        (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
        weights = load_file(source / "model.safetensors")
        weights["model.layers.0.mlp.mystery.weight"] = torch.zeros(2)
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        CaptureModel.load(tmp_path)
        assert "mystery" in caplog.text
        assert "lm_head" not in caplog.text

    @pytest.mark.parametrize("kind", ["dynamic", "longrope"])
    def test_positions_that_depend_on_the_batch_are_refused(
        self, tmp_path: Path, kind: str
    ) -> None:
        rope: dict[str, Any] = {"rope_type": kind, "rope_theta": 10_000.0}
        if kind == "dynamic":
            rope["factor"] = 2.0
        else:
            rope.update(short_factor=[1.0] * 8, long_factor=[1.0] * 8)
            rope["original_max_position_embeddings"] = 64
        path = make_model(tmp_path / "model", "llama", rope_parameters=rope)
        with pytest.raises(CaptureError, match=kind):
            CaptureModel.load(path)

    def test_a_closed_model_lets_go_of_its_weights(self, model_of: ModelOf, shard: Shard) -> None:
        model = CaptureModel.load(model_of("llama"))
        captured(model, shard, ALL)
        weights = [weakref.ref(p) for p in model.decoder.parameters()]
        model.close()
        model.close()
        gc.collect()
        assert [ref for ref in weights if ref() is not None] == []


class TestReference:
    """Equality with the reference that the end-to-end tests use, whatever the batches."""

    @pytest.mark.parametrize("family", ["gpt2", "llama", "mistral"])
    @pytest.mark.parametrize(("budget", "most"), [(1, None), (48, None), (70, 3), (10_000, None)])
    def test_every_layer(
        self, model_of: ModelOf, shard: Shard, family: str, budget: int, most: int | None
    ) -> None:
        model = CaptureModel.load(model_of(family))
        found = captured(model, shard, ALL, token_budget=budget, batch_size=most)
        samples = [shard.sample(i).tolist() for i in range(shard.samples)]
        expected = resid_post(model_of(family), samples, range(4))
        for layer, point in enumerate(ALL):
            rows = found[point].numpy()
            for i, values in enumerate(expected[layer]):
                ours = rows[shard.offsets[i] : shard.offsets[i + 1]]
                assert relative_error(ours, values) < 1e-5, (point, i)

    def test_the_window_changes_long_samples_and_no_others(self, tmp_path: Path) -> None:
        shard = shard_of([20, 100])
        found = {}
        for window in (32, None):
            path = make_model(
                tmp_path / str(window), "mistral", initializer_range=0.2, sliding_window=window
            )
            found[window] = captured(CaptureModel.load(path), shard, ALL)[ALL[-1]].numpy()
        assert relative_error(found[32][:52], found[None][:52]) < 1e-6
        assert relative_error(found[32][52:], found[None][52:]) > 1e-2


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    more=st.lists(st.integers(1, 40), max_size=10),
    budget=st.integers(1, 64),
    most=st.none() | st.integers(1, 5),
)
def test_later_samples_do_not_change_earlier_batches(
    lengths: list[int], more: list[int], budget: int, most: int | None
) -> None:
    short = list(iter_batches(lengths, budget, most))
    assert list(iter_batches(lengths + more, budget, most))[: len(short) - 1] == short[:-1]
