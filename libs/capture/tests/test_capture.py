"""Capture stops where it may, goes on where it can, and says what went wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mistudio_capture import (
    CaptureCancelled,
    CaptureError,
    CaptureModel,
    InputsRefused,
    OutOfDeviceMemory,
    UnsupportedArchitecture,
    capture_shard,
)
from mistudio_testkit.reference import relative_error

from .conftest import LENGTHS, ModelOf, Shard, captured, shard_of

POINT = "layers.1.resid_post"
POINTS = ("layers.0.resid_post", POINT, "layers.2.mlp_out")


class TestEarlyStop:
    """No block beyond the deepest hook point runs."""

    @pytest.mark.parametrize("family", ["gpt2", "llama", "mistral"])
    def test_later_blocks_and_the_final_norm_never_run(
        self, model_of: ModelOf, shard: Shard, family: str
    ) -> None:
        model = CaptureModel.load(model_of(family))
        model.prove()
        ran: list[str] = []
        final_norm = "ln_f" if family == "gpt2" else "norm"
        watched = {f"block {i}": block for i, block in enumerate(model.blocks)}
        watched["final norm"] = model.decoder.get_submodule(final_norm)
        for name, module in watched.items():
            module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
        captured(model, shard, [POINT, "layers.0.resid_post"], token_budget=10_000)
        assert ran == ["block 0", "block 1"]

    def test_no_hook_is_left_behind(self, gpt2: CaptureModel, shard: Shard) -> None:
        captured(gpt2, shard, [POINT])
        assert not any(block._forward_hooks for block in gpt2.blocks)

    def test_there_is_no_language_model_head(self, gpt2: CaptureModel) -> None:
        assert not [n for n, _ in gpt2.decoder.named_modules() if "lm_head" in n]


class TestOrder:
    """Which samples run together, and where their rows go."""

    def test_packed_rows_come_in_order(self, gpt2: CaptureModel, shard: Shard) -> None:
        starts: list[int] = []
        capture_shard(
            gpt2,
            *(shard.input_ids, shard.offsets, [POINT]),
            lambda _point, start, _rows: starts.append(start),
            token_budget=48,
            dtype=torch.float32,
        )
        assert starts == sorted(starts)

    @pytest.mark.parametrize("family", ["gpt2", "gptj"])
    def test_identical_samples_run_once_and_are_written_at_each_place(
        self, model_of: ModelOf, monkeypatch: pytest.MonkeyPatch, family: str
    ) -> None:
        model = CaptureModel.load(model_of(family))
        once = shard_of([5, 9, 3])
        again = [once.sample(i) for i in (0, 1, 0, 2, 1)]
        offsets = np.cumsum([0, *map(len, again)]).astype(np.int64)
        shard = Shard(np.concatenate(again), offsets)
        expected = captured(model, once, [POINT])[POINT]
        sizes = TestOutOfMemory.limit(model, monkeypatch, most=10_000)

        found = captured(model, shard, [POINT], token_budget=6)[POINT]

        assert sum(sizes) == once.offsets[-1]
        parts = [expected[once.offsets[i] : once.offsets[i + 1]] for i in (0, 1, 0, 2, 1)]
        assert relative_error(found.numpy(), torch.cat(parts).numpy()) <= 1e-5

    def test_padded_batches_hold_samples_of_like_lengths(
        self, model_of: ModelOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = CaptureModel.load(model_of("bloom"))
        model.prove()
        shard = shard_of([40, 2, 39, 3, 38, 1, 37, 4])
        padded: list[int] = []
        decoder = model.decoder
        decoder.register_forward_pre_hook(
            lambda _module, _args, inputs: padded.append(inputs["input_ids"].numel()),
            with_kwargs=True,
        )
        captured(model, shard, [POINT], token_budget=160)
        assert padded == [160, 16]


class TestProgress:
    def test_samples_are_counted_when_they_are_written(
        self, gpt2: CaptureModel, shard: Shard
    ) -> None:
        seen: list[int] = []
        captured(gpt2, shard, [POINT], batch_size=4, token_budget=10_000, on_progress=seen.append)
        assert seen == [4, 8, 9]

    def test_samples_without_tokens_are_counted_too(self, gpt2: CaptureModel) -> None:
        seen: list[int] = []
        found = captured(gpt2, shard_of([3, 0, 2]), [POINT], batch_size=1, on_progress=seen.append)
        assert found[POINT].shape == (5, 64)
        assert seen == [1, 2, 3]

    def test_the_sink_runs_beside_the_forward_pass(self, gpt2: CaptureModel, shard: Shard) -> None:
        threads: set[str] = set()

        def sink(*_: object) -> None:
            threads.add(threading.current_thread().name)

        run(gpt2, shard, sink)
        assert threads == {"capture-writer"}

    def test_several_threads_write_a_hook_point_each_in_order(
        self, gpt2: CaptureModel, shard: Shard
    ) -> None:
        wrote: dict[str, set[int]] = {}
        places: dict[str, list[int]] = {}
        counts: list[int] = []

        def sink(point: str, place: int, _rows: torch.Tensor) -> None:
            wrote.setdefault(point, set()).add(threading.get_ident())
            places.setdefault(point, []).append(place)

        capture_shard(
            gpt2,
            shard.input_ids,
            shard.offsets,
            POINTS,
            sink,
            token_budget=40,
            batch_size=2,
            dtype=torch.float32,
            threads=2,
            on_progress=counts.append,
        )
        assert [len(idents) for idents in wrote.values()] == [1] * len(POINTS)
        assert len(set.union(*wrote.values())) == 2
        assert all(found == sorted(found) for found in places.values())
        assert counts == sorted(counts)
        assert counts[-1] == shard.samples

    def test_an_error_of_one_thread_ends_all(self, gpt2: CaptureModel, shard: Shard) -> None:
        def sink(point: str, *_: object) -> None:
            if point == POINTS[-1]:
                raise OSError("the disk left")

        with pytest.raises(OSError, match="the disk left"):
            capture_shard(
                gpt2,
                shard.input_ids,
                shard.offsets,
                POINTS,
                sink,
                token_budget=1,
                dtype=torch.float32,
                threads=3,
            )
        assert "capture-writer" not in {t.name for t in threading.enumerate()}


class TestStopping:
    def test_between_batches_when_asked(self, gpt2: CaptureModel, shard: Shard) -> None:
        answers = iter([False, False, True])
        written: list[int] = []
        with pytest.raises(CaptureCancelled):
            captured(
                gpt2,
                shard,
                [POINT],
                batch_size=1,
                should_stop=lambda: next(answers),
                on_progress=written.append,
            )
        assert written == [1, 2]

    def test_with_what_the_sink_raised(self, gpt2: CaptureModel, shard: Shard) -> None:
        def sink(*_: object) -> None:
            raise OSError("the disk left")

        with pytest.raises(OSError, match="the disk left"):
            run(gpt2, shard, sink)
        assert "capture-writer" not in {t.name for t in threading.enumerate()}


class TestOutOfMemory:
    """The budget is halved and finished work kept; a sample alone that does not fit is an error."""

    @staticmethod
    def limit(model: CaptureModel, monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
        """Let the device hold ``most`` tokens; the sizes of the batches that ran are returned."""
        real, sizes = model.run, []

        def run(ids: torch.Tensor, *rest: Any) -> None:
            if len(ids) > most:
                raise torch.cuda.OutOfMemoryError
            sizes.append(len(ids))
            real(ids, *rest)

        monkeypatch.setattr(model, "run", run)
        return sizes

    def test_rows_are_those_of_smaller_batches(
        self, gpt2: CaptureModel, shard: Shard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = captured(gpt2, shard, [POINT], token_budget=80)
        sizes = self.limit(gpt2, monkeypatch, most=100)
        found = captured(gpt2, shard, [POINT], token_budget=160)
        torch.testing.assert_close(found, expected)
        assert sum(sizes) == sum(LENGTHS)

    def test_a_sample_that_does_not_fit_alone_is_named_by_its_tokens(
        self, gpt2: CaptureModel, shard: Shard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.limit(gpt2, monkeypatch, most=50)
        with pytest.raises(OutOfDeviceMemory, match="64 tokens"):
            captured(gpt2, shard, [POINT], token_budget=160)


class TestRefusals:
    """What cannot be run is refused before anything runs."""

    @pytest.mark.parametrize(
        ("points", "message"),
        [
            ((), "at least one"),
            ((POINT, POINT), "once"),
            (("layers.4.resid_post",), "beyond the 4 blocks"),
        ],
    )
    def test_hook_points(
        self, gpt2: CaptureModel, shard: Shard, points: Sequence[str], message: str
    ) -> None:
        with pytest.raises(InputsRefused, match=message):
            captured(gpt2, shard, points)

    def test_a_name_that_is_no_hook_point(self, gpt2: CaptureModel, shard: Shard) -> None:
        with pytest.raises(ValueError, match=r"layers\.N\.resid_post"):
            captured(gpt2, shard, ["layers.1.mystery"])

    def test_a_sample_beyond_the_context(self, gpt2: CaptureModel) -> None:
        with pytest.raises(InputsRefused, match="sample 1 has 257 tokens"):
            captured(gpt2, shard_of([2, 257]), [POINT])

    @pytest.mark.parametrize("token", [-1, 512])
    def test_a_token_outside_the_vocabulary(self, gpt2: CaptureModel, token: int) -> None:
        shard = shard_of([3])
        shard.input_ids[1] = token
        with pytest.raises(InputsRefused, match="between 0 and 511"):
            captured(gpt2, shard, [POINT])


class TestLoading:
    def test_the_model_says_what_it_is(self, model_of: ModelOf) -> None:
        model = CaptureModel.load(model_of("llama"))
        assert (model.hidden_size, model.num_layers, model.context_length) == (64, 4, 256)
        assert model.dtype is torch.float32

    def test_memory_is_that_of_the_weights_each_counted_once(self, gpt2: CaptureModel) -> None:
        block = 12 * 64 * 64 + 13 * 64
        assert gpt2.memory_bytes == 4 * (4 * block + (512 + 256) * 64 + 2 * 64)

    def test_half_the_precision_is_half_the_memory(
        self, model_of: ModelOf, gpt2: CaptureModel
    ) -> None:
        half = CaptureModel.load(model_of("gpt2"), dtype=torch.bfloat16)
        assert half.memory_bytes * 2 == gpt2.memory_bytes

    @pytest.mark.parametrize("family", ["bert", "a_family_of_tomorrow"])
    def test_an_unproven_family_is_refused_with_the_proven_ones(
        self, tmp_path: Path, family: str
    ) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
        with pytest.raises(UnsupportedArchitecture, match=rf"{family}.*gpt2.*llama, mistral"):
            CaptureModel.load(tmp_path)

    def test_a_directory_without_a_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CaptureError, match=r"no readable config\.json"):
            CaptureModel.load(tmp_path)

    def test_a_checkpoint_that_lacks_weights_is_refused(
        self, model_of: ModelOf, tmp_path: Path
    ) -> None:
        from safetensors.torch import load_file, save_file

        source = model_of("gpt2")
        (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
        weights = load_file(source / "model.safetensors")
        lost = next(name for name in weights if name.endswith("h.2.mlp.c_fc.weight"))
        del weights[lost]
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(CaptureError, match=r"lacks 1 tensors: .*h\.2\.mlp\.c_fc\.weight"):
            CaptureModel.load(tmp_path)

    def test_a_closed_model_runs_no_more(self, model_of: ModelOf) -> None:
        model = CaptureModel.load(model_of("gpt2"))
        model.close()
        with pytest.raises(CaptureError, match="closed"):
            _ = model.decoder


def run(model: CaptureModel, shard: Shard, sink: Callable[..., None]) -> None:
    """Capture one column into ``sink``."""
    capture_shard(
        model,
        shard.input_ids,
        shard.offsets,
        [POINT],
        sink,
        token_budget=48,
        dtype=torch.float32,
    )
