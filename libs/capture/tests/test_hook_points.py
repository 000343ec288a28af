"""Every hook point of every family is what transformers' own module of that name shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mistudio_capture import FAMILIES, CaptureError, CaptureModel, HookPoint, InputsRefused
from mistudio_testkit.models import make_model

from .conftest import ModelOf, Shard, captured, plain_points, shard_of, worst
from .named import PLACES, points_of

LAYERS = 4
SHORT = (5, 1, 40, 17, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_equals_plain_transformers(model_of: ModelOf, family: str) -> None:
    """Alone, some together, and all in one batch: packed or padded, as the family is."""
    path, shard = model_of(family), shard_of(SHORT)
    model = CaptureModel.load(path)
    points = points_of(family, LAYERS)
    assert set(model.anatomy.points()) == set(points)
    expected = plain_points(path, shard, points)
    for budget in (1, 24, 10_000):
        found = captured(model, shard, points, token_budget=budget)
        for point in points:
            assert worst(found[point], expected[point]) < 1e-5, (point, budget)
            assert found[point].shape[1] == model.width(point)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_residual_stream_adds_up(model_of: ModelOf, family: str) -> None:
    """What attention and MLP add makes the next block's input of this block's."""
    found = captured(
        CaptureModel.load(model_of(family)),
        shard_of(SHORT),
        [f"layers.1.{kind}" for kind in ("resid_pre", "attn_out", "mlp_out", "resid_post")],
    )
    pre, attended, computed, post = found.values()
    assert worst(pre + attended + computed, post) < 1e-6


class TestStop:
    """The pass ends with the last hook point asked for, wherever in a block it lies."""

    @pytest.mark.parametrize(
        ("points", "last"),
        [
            (["embed"], "embed_tokens"),
            (["layers.1.q", "layers.0.resid_post"], "layers.1.self_attn.q_proj"),
            (["layers.1.v", "layers.1.q"], "layers.1.self_attn.v_proj"),
            (["layers.1.resid_mid"], "layers.1.self_attn.o_proj"),
            (["layers.1.mlp_act"], "layers.1.mlp.up_proj"),
            (["layers.2.resid_pre"], "layers.1.mlp.down_proj"),
            (["final_norm", "embed"], "norm"),
        ],
    )
    def test_at_the_deepest(
        self, model_of: ModelOf, shard: Shard, points: list[str], last: str
    ) -> None:
        model, ran = CaptureModel.load(model_of("llama")), []
        for name, module in model.decoder.named_modules():
            if not list(module.children()):
                module.register_forward_hook(lambda *_, name=name: ran.append(name))
        captured(model, shard, points, token_budget=10_000)
        assert ran[-1] == last


class TestRefusals:
    @pytest.mark.parametrize(
        ("family", "point", "reason"),
        [
            ("gptj", "layers.1.resid_mid", "both read the block's input"),
            ("mixtral", "layers.1.mlp_act", "experts"),
            ("llama", "layers.4.q", "beyond the 4 blocks"),
        ],
    )
    def test_what_a_family_does_not_have_is_refused_with_the_reason(
        self, model_of: ModelOf, shard: Shard, family: str, point: str, reason: str
    ) -> None:
        model = CaptureModel.load(model_of(family))
        with pytest.raises(InputsRefused, match=reason):
            captured(model, shard, [point])

    def test_a_block_that_normalises_the_sum_adds_nothing_up(self, tmp_path: Path) -> None:
        """OPT-350m: its stream is there, what attention and MLP add to it is not."""
        model = CaptureModel.load(make_model(tmp_path / "m", "opt", do_layer_norm_before=False))
        there = {HookPoint.parse(name).kind for name in model.anatomy.points()}
        assert {"resid_pre", "resid_post", "z", "q", "k", "v", "mlp_act"} <= there
        assert not {"attn_out", "mlp_out", "resid_mid"} & there
        assert "add up" in model.anatomy.block.refused["attn_out"]

    def test_a_stream_that_is_broken_is_no_model(
        self, model_of: ModelOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from transformers.models.llama import modeling_llama

        class Halving(modeling_llama.LlamaDecoderLayer):
            def __call__(self, hidden: torch.Tensor, **rest: object) -> torch.Tensor:
                found: torch.Tensor = super().__call__(hidden, **rest)
                return found / 2

        monkeypatch.setattr(modeling_llama, "LlamaDecoderLayer", Halving)
        model = CaptureModel.load(model_of("llama"))
        with pytest.raises(CaptureError, match="no residual stream"):
            model.prove()

    @pytest.mark.parametrize(
        ("layer", "place", "kinds"),
        [(2, "mlp", ["attn_out", "mlp_out", "resid_mid"]), (3, "self_attn.o_proj", ["z"])],
    )
    def test_what_fails_in_a_later_block_is_refused_before_anything_is_captured(
        self, model_of: ModelOf, shard: Shard, layer: int, place: str, kinds: list[str]
    ) -> None:
        model = CaptureModel.load(model_of("llama"))
        module = model.blocks[layer].get_submodule(place)
        real, times = module.forward, iter(range(1, 100))
        seen: list[str] = []
        if place == "mlp":
            # What the block adds is no longer what the MLP gives.
            model.blocks[layer].register_forward_hook(lambda *a: a[2] * 2)
        else:
            module.forward = lambda rows: real(rows) * next(times)

        with pytest.raises(InputsRefused, match=f"no {kinds[0]}"):
            model.run(
                torch.tensor([1, 2, 3]),
                [0, 3],
                [f"layers.1.{kinds[0]}"],
                lambda point, _rows: seen.append(point),
            )

        assert not seen
        assert not set(kinds) & set(model.anatomy.block.taps)
        assert captured(model, shard, ["layers.1.resid_post"])


@pytest.mark.parametrize(
    "name", ["layers.1.mystery", "layers.-1.resid_post", "layers.01.q", "resid_post", "embed.1"]
)
def test_a_name_that_is_no_hook_point_says_how_they_read(name: str) -> None:
    with pytest.raises(ValueError, match=r"layers\.N\.resid_post.*mlp_act.*final_norm"):
        HookPoint.parse(name)


def test_the_names_of_the_table_are_read_back(model_of: ModelOf) -> None:
    for name in points_of("gpt2", LAYERS):
        assert HookPoint.parse(name).name == name
    assert len(PLACES) == len(FAMILIES)
