"""How a model is quantised and kept: asked for, remembered, told to the workers, and shown."""

from __future__ import annotations

import pytest

from mistudio_contracts import commands, rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import InvalidInput, StatusConflict
from mistudio_contracts.states import Int4Type, Quantization
from mistudio_contracts.values import (
    Fidelity,
    LayerFidelity,
    QuantizationOptions,
    ResidencyWish,
)

from .support import World, prepared

FP4 = QuantizationOptions(int4_type=Int4Type.FP4, double_quant=False)
WISH = ResidencyWish(pinned=True, keep_alive_seconds=300.0, offload=True)
FIDELITY = Fidelity(
    probe_tokens=64,
    layers=[LayerFidelity(hook_point="layers.0.resid_post", cosine=0.99, relative_error=0.1)],
    perplexity_change=0.02,
)


async def test_format_and_wish_reach_the_workers_and_are_shown(world: World) -> None:
    model = await world.register(
        quantization="int4",
        quantization_options=FP4,
        pinned=True,
        keep_alive_seconds=300,
        offload=True,
    )
    assert (model.quantization, model.quantization_options) == (Quantization.INT4, FP4)
    assert (model.pinned, model.keep_alive_seconds, model.offload) == (True, 300, True)
    await world.load(model.id, force=True)
    order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    assert (order.quantization, order.quantization_options) == (Quantization.INT4, FP4)
    report = prepared(order).model_copy(update={"fidelity": FIDELITY})
    await world.publish(subjects.REPORT_PREPARED, report)
    placing = await world.place()
    assert (placing.wish, placing.force) == (WISH, True)
    await world.event(subjects.MODEL_READY, model_id=model.id)
    assert (await world.model(model.id)).fidelity == FIDELITY
    orders = await world.heartbeat({model.id: placing.artifact.fingerprint})
    assert orders.wishes == {model.id: WISH}
    dataset = await world.ready_dataset()
    await world.request(model.id, dataset.id, [0])
    await world.plan()
    assert (await world.capture()).wish == WISH


async def test_only_what_a_change_names_is_changed(world: World) -> None:
    model = await world.register(pinned=True, keep_alive_seconds=300)

    async def change(**fields: object) -> views.Model:
        request = rpc.UpdateModelRequest(model_id=model.id, **fields)
        return await world.ask(subjects.RPC_MODEL_UPDATE, request, views.Model)

    assert (await change(name="two")).keep_alive_seconds == 300
    assert (await change(keep_alive_seconds=None)).keep_alive_seconds is None
    changed = await change(offload=True, quantization="int4", quantization_options=FP4)
    assert (changed.pinned, changed.offload, changed.quantization_options) == (True, True, FP4)
    assert (await change(pinned=False)).pinned is False


async def test_int4_made_otherwise_is_prepared_anew_and_shows_no_old_fidelity(
    world: World,
) -> None:
    model = await world.register(quantization="int4")
    await world.load(model.id)
    order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    report = prepared(order).model_copy(update={"fidelity": FIDELITY})
    await world.publish(subjects.REPORT_PREPARED, report)
    await world.place()
    await world.event(subjects.MODEL_READY, model_id=model.id)
    request = rpc.UpdateModelRequest(model_id=model.id, quantization_options=FP4)
    error = await world.refusal(subjects.RPC_MODEL_UPDATE, request)
    assert isinstance(error, StatusConflict), "it is in memory, made otherwise"
    request = rpc.UpdateModelRequest(model_id=model.id, pinned=True)
    kept = await world.ask(subjects.RPC_MODEL_UPDATE, request, views.Model)
    assert kept.pinned, "how it is kept may change at any time"


async def test_the_same_load_by_request_and_by_command_is_one_load(world: World) -> None:
    model = await world.register()
    first = await world.load(model.id, quantization="int4", quantization_options=FP4)
    command = commands.LoadModel(
        model_id=model.id, quantization=Quantization.INT4, quantization_options=FP4
    )
    await world.publish(subjects.MODEL_LOAD, command)
    again = await world.load(model.id, quantization="int4", quantization_options=FP4)
    assert again.task_id == first.task_id
    other = commands.LoadModel(model_id=model.id, quantization=Quantization.INT8)
    await world.publish(subjects.MODEL_LOAD, other)
    refused = await world.event(subjects.COMMAND_REFUSED, model_id=model.id)
    assert refused["error"]["details"]["reason"] == "already_loading"
    await world.prepare()
    assert await world.pending(subjects.WORK_PREPARE) == 0
    await world.place()
    ready = await world.event(subjects.MODEL_READY, model_id=model.id)
    assert ready["task_id"] == first.task_id
    assert len(world.events(subjects.COMMAND_REFUSED)) == 1


async def test_a_command_carries_format_and_force(world: World) -> None:
    model = await world.register()
    command = commands.LoadModel(
        model_id=model.id,
        quantization=Quantization.INT4,
        quantization_options=FP4,
        force=True,
    )
    await world.publish(subjects.MODEL_LOAD, command)
    order = await world.prepare()
    assert (order.quantization, order.quantization_options) == (Quantization.INT4, FP4)
    assert (await world.place()).force


@pytest.mark.parametrize("subject", [subjects.RPC_MODEL_LOAD, subjects.RPC_MODEL_REGISTER])
async def test_a_format_whose_kernels_run_nowhere_is_refused_at_once(
    world: World, subject: subjects.Subject
) -> None:
    await world.heartbeat(
        memory_free_bytes=5, unavailable_formats={"int4": "no kernel image for this device"}
    )
    model = await world.register(quantization="int4")
    request: rpc.Request = rpc.LoadModelRequest(model_id=model.id)
    if subject is subjects.RPC_MODEL_REGISTER:
        request = rpc.RegisterModelRequest(
            name="x",
            source=model.source,
            model_identifier="x",
            quantization=Quantization.INT4,
            auto_load=True,
        )
    error = await world.refusal(subject, request)
    assert isinstance(error, InvalidInput)
    assert error.details["reason"] == "quantization_unavailable"
    assert "no kernel image" in error.message
    assert "int8" in error.details["remedy"]
    assert (await world.load(model.id, quantization="int8")).status == "loading"
    page = await world.ask(subjects.RPC_DEVICE_LIST, rpc.ListDevicesRequest(), views.DevicePage)
    assert page.devices[0].memory_free_bytes == 5
    assert page.devices[0].unavailable_formats == {
        Quantization.INT4: "no kernel image for this device"
    }
    told = await world.event(subjects.DEVICE_STATUS)
    assert told["unavailable_formats"] == {"int4": "no kernel image for this device"}
