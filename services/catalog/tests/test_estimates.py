"""Will it fit: of registered models and of checkpoints that nobody registered."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from mistudio_contracts import reports, rpc, subjects, views
from mistudio_contracts.errors import ErrorCode, InvalidInput, NotFound, ServiceUnavailable
from mistudio_contracts.states import Dtype, Fit, Quantization, Source
from mistudio_contracts.values import ModelFacts, QuantizationOptions, ResidentModel
from mistudio_contracts.work import PrepareModel

from .support import World, facts, prepared

GIB = 1 << 30
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
LLAMA_13B = {
    "model_type": "llama",
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "max_position_embeddings": 4096,
    "num_attention_heads": 40,
    "num_hidden_layers": 40,
    "vocab_size": 32000,
}
MIXTRAL = {**LLAMA_13B, "model_type": "mixtral", "num_local_experts": 8}
EARLY = datetime(2026, 1, 1, tzinfo=timezone.utc)


def gpt2(**changes: Any) -> ModelFacts:
    return facts(config=GPT2, weight_bytes=548_000_000, **changes)


def llama_13b() -> ModelFacts:
    return facts(model_type="llama", config=LLAMA_13B, dtype=Dtype.FLOAT16)


def resident(model_id: str, size: int, **more: Any) -> ResidentModel:
    return ResidentModel(model_id=model_id, fingerprint="a" * 32, memory_usage_bytes=size, **more)


async def device(world: World, *residents: ResidentModel, **more: Any) -> None:
    """Say that a GPU of 6 GiB lives, with these models in it."""
    report = reports.DeviceReport(
        **{
            "device_id": "dev_gpu",
            "pool": "default",
            "kind": "cuda",
            "name": "GPU",
            "started_at": EARLY,
            "memory_total_bytes": 8 * GIB,
            "memory_budget_bytes": 6 * GIB,
            "memory_used_bytes": sum(each.memory_usage_bytes for each in residents),
            "residents": list(residents),
            **more,
        }
    )
    await world.ask(subjects.RPC_DEVICE_REPORT, report, rpc.DeviceOrders)


async def of_model(world: World, model_id: str, **more: Any) -> views.Estimate:
    request = rpc.EstimateModelRequest(model_id=model_id, **more)
    return await world.ask(subjects.RPC_MODEL_ESTIMATE, request, views.Estimate)


async def of_checkpoint(world: World, **more: Any) -> views.Estimate:
    return await world.ask(subjects.RPC_CHECKPOINT_ESTIMATE, checkpoint(**more), views.Estimate)


def checkpoint(**more: Any) -> rpc.EstimateCheckpointRequest:
    chosen = {"source": Source.HUGGINGFACE, "model_identifier": "owner/name", **more}
    return rpc.EstimateCheckpointRequest.model_validate(chosen)


def by_format(estimate: views.Estimate) -> dict[Quantization, views.FormatEstimate]:
    return {each.quantization: each for each in estimate.formats}


async def test_a_checkpoint_is_estimated_before_anything_of_it_is_downloaded(world: World) -> None:
    world.inspect = lambda _: gpt2()

    found = await of_checkpoint(world)

    formats = by_format(found)
    assert list(formats) == list(Quantization)
    assert (found.model_type, found.num_layers, found.parameter_count) == ("gpt2", 12, 124_439_808)
    assert (found.device_id, found.budget_bytes, found.used_bytes) == (None, 6 * GIB, 0)
    none = formats[Quantization.NONE]
    assert none.parts.weights_bytes == 4 * 124_439_808
    assert none.total_bytes == sum(none.parts.model_dump().values())
    assert (none.fit, none.batch_size, none.sequence_length) == (Fit.NOW, 16, 1024)
    assert (none.download_bytes, none.disk_bytes) == (548_000_000, 548_000_000)
    assert found.recommended is Quantization.NONE
    assert found.message.startswith("Choose none: 1.")
    assert await world.ask(
        subjects.RPC_MODEL_LIST, rpc.ListModelsRequest(), views.ModelPage
    ) == views.ModelPage(models=[], total=0, limit=50, offset=0)


async def test_a_local_checkpoint_is_not_downloaded(world: World) -> None:
    world.inspect = lambda _: gpt2()
    found = await of_checkpoint(world, source=Source.LOCAL, model_identifier="/models/x")
    assert {each.download_bytes for each in found.formats} == {None}


async def test_what_never_fits_is_said_with_what_offloading_would_cost(world: World) -> None:
    world.inspect = lambda _: llama_13b()
    await device(world)

    found = await of_checkpoint(world)

    assert {each.fit for each in found.formats} == {Fit.NEVER}
    assert {each.batch_size for each in found.formats} == {0}
    assert found.recommended is None
    offer = by_format(found)[Quantization.INT4].offload
    assert offer is not None
    assert offer.total_bytes <= 6 * GIB
    assert f"{offer.blocks} of 40 blocks are read from the disk at each batch" in offer.cost
    assert "No format fits 6.0 GiB: int4 is the smallest" in found.message


async def test_one_format_alone_is_told_and_the_choice_is_among_all(world: World) -> None:
    world.inspect = lambda _: gpt2()
    found = await of_checkpoint(world, quantization="int8")
    assert [each.quantization for each in found.formats] == [Quantization.INT8]
    assert found.recommended is Quantization.NONE


async def test_scales_that_are_not_quantised_take_more(world: World) -> None:
    world.inspect = lambda _: gpt2()
    plain = QuantizationOptions(double_quant=False)

    double, single = [
        (await of_checkpoint(world, quantization="int4", **more)).formats[0].parts
        for more in ({}, {"quantization_options": plain})
    ]

    assert single.weights_bytes == double.weights_bytes
    assert single.quantization_state_bytes > 3 * double.quantization_state_bytes


async def test_who_was_used_longest_ago_would_be_evicted_and_no_more_than_needed(
    world: World,
) -> None:
    world.inspect = lambda _: gpt2()
    first, second, third = [(await world.register(name)).id for name in ("a", "b", "c")]
    # Nobody has used any of them, so that they count from when they were registered.
    await device(world, *(resident(each, 2 * GIB) for each in (third, second, first)))

    found = (await of_checkpoint(world, quantization="none")).formats[0]

    assert (found.fit, found.evict, found.held_by) == (Fit.AFTER_EVICTION, [first], [])


async def test_models_pinned_or_in_use_hold_their_place(world: World) -> None:
    world.inspect = lambda _: gpt2()
    await device(
        world,
        resident("m_pinned", 3 * GIB, pinned=True),
        resident("m_busy", 2 * GIB, leases=1),
        resident("m_idle", GIB // 2),
    )

    found = await of_checkpoint(world)

    none = by_format(found)[Quantization.NONE]
    assert (none.fit, none.evict, none.held_by) == (Fit.AFTER_EVICTION, ["m_idle"], ["m_busy"])
    assert found.recommended is Quantization.BF16
    assert by_format(found)[Quantization.BF16].held_by == []
    assert "for this one m_idle would be evicted" in found.message


async def test_what_other_programs_hold_counts(world: World) -> None:
    world.inspect = lambda _: gpt2()
    await device(world, memory_free_bytes=GIB // 4)

    found = await of_checkpoint(world)

    assert found.free_bytes == GIB // 4
    assert {(each.fit, tuple(each.evict)) for each in found.formats} == {(Fit.AFTER_EVICTION, ())}
    assert "other programs must free memory first" in found.message


async def test_a_model_does_not_stand_in_its_own_way(world: World) -> None:
    world.inspect = lambda _: gpt2()
    model = await world.register()
    await device(world, resident(model.id, 5 * GIB))

    found = await of_model(world, model.id)

    assert (found.model_id, found.used_bytes) == (model.id, 0)
    assert by_format(found)[Quantization.NONE].fit is Fit.NOW


async def test_formats_whose_kernels_do_not_run_are_told_with_the_reason(world: World) -> None:
    world.inspect = lambda _: gpt2()
    every = {each: "no kernel image" for each in Quantization if each is not Quantization.INT8}
    await device(world, unavailable_formats=every)

    found = await of_checkpoint(world)

    why = {each.quantization: each.unavailable for each in found.formats}
    assert why == {**dict.fromkeys(Quantization, "no kernel image"), Quantization.INT8: None}
    assert found.recommended is Quantization.INT8


async def test_experts_are_never_quantised(world: World) -> None:
    world.inspect = lambda _: facts(model_type="mixtral", config=MIXTRAL)
    formats = by_format(await of_checkpoint(world))
    for name in (Quantization.INT8, Quantization.INT4):
        assert "experts" in (formats[name].unavailable or "")
    assert formats[Quantization.BF16].unavailable is None


async def test_a_model_registered_unseen_is_looked_at_when_asked_about(world: World) -> None:
    def nobody(_: rpc.InspectModelRequest) -> ModelFacts:
        raise ServiceUnavailable("No loader answers.")

    world.inspect = nobody
    model = await world.register(revision="v1")
    assert model.config == {}
    request = rpc.EstimateModelRequest(model_id=model.id)
    error = await world.refusal(subjects.RPC_MODEL_ESTIMATE, request)
    assert isinstance(error, ServiceUnavailable)

    asked: list[rpc.InspectModelRequest] = []

    def loader(request: rpc.InspectModelRequest) -> ModelFacts:
        asked.append(request)
        return gpt2()

    world.inspect = loader
    found = await of_model(world, model.id)

    assert (found.model_id, found.model_identifier) == (model.id, "owner/tiny")
    assert [(each.model_identifier, each.revision) for each in asked] == [("owner/tiny", "v1")]


async def test_what_is_prepared_already_is_not_downloaded_again(world: World) -> None:
    world.inspect = lambda _: gpt2()
    model = await world.register(quantization="int8")
    await world.load(model.id)
    order = await world.order(subjects.WORK_PREPARE, PrepareModel)
    report = prepared(order).model_copy(update={"facts": gpt2()})
    await world.publish(subjects.REPORT_PREPARED, report)
    await world.event(subjects.MODEL_PREPARED)

    formats = by_format(await of_model(world, model.id))

    kept = formats.pop(Quantization.INT8)
    assert (kept.download_bytes, kept.disk_bytes) == (0, report.artifact.bytes)
    assert {each.download_bytes for each in formats.values()} == {548_000_000}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "mamba"}, "unsupported_architecture"),
        ({**GPT2, "n_embd": -1}, "corrupt_config"),
        ({key: value for key, value in GPT2.items() if key != "n_layer"}, "corrupt_config"),
    ],
)
async def test_a_config_that_says_too_little_is_refused_by_name(
    world: World, config: dict[str, Any], reason: str
) -> None:
    world.inspect = lambda _: facts(config=config)
    error = await world.refusal(subjects.RPC_CHECKPOINT_ESTIMATE, checkpoint())
    assert isinstance(error, InvalidInput)
    assert (error.details["field"], error.details["reason"]) == ("model_identifier", reason)
    assert error.details["remedy"]


async def test_what_is_not_there_or_cannot_be_is_refused(world: World) -> None:
    request = rpc.EstimateModelRequest(model_id="m_nobody")
    error = await world.refusal(subjects.RPC_MODEL_ESTIMATE, request)
    assert isinstance(error, NotFound)
    assert error.code is ErrorCode.MODEL_NOT_FOUND

    error = await world.refusal(
        subjects.RPC_CHECKPOINT_ESTIMATE, checkpoint(model_identifier="../secret")
    )
    assert error.details["reason"] == "malformed_identifier"
