"""Loads that are cancelled, doubled, tried again or stuck, and models that come back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.services.context import Context
from mistudio_catalog.services.loads import Loads
from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import ErrorCode, ServiceUnavailable, StatusConflict
from mistudio_contracts.states import LoadStage

from .support import (
    World,
    evicted,
    failure,
    fingerprint_of,
    loading,
    now,
    open_database,
    placed,
    prepared,
    running_world,
)

STARTED = datetime(2026, 1, 1, tzinfo=timezone.utc)


async def cancel(world: World, model_id: str) -> views.Model:
    request = rpc.CancelLoadRequest(model_id=model_id)
    return await world.ask(subjects.RPC_MODEL_LOAD_CANCEL, request, views.Model)


@pytest.mark.parametrize("stage", ["resolving", "downloading", "verifying", "quantizing"])
async def test_a_load_is_cancelled_while_its_artifact_is_made(world: World, stage: str) -> None:
    model = await world.register(quantization="int8")
    task = (await world.load(model.id)).task_id
    order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    await world.publish(subjects.LIVE_LOAD, loading(task, model.id, 50, stage))
    await world.event(subjects.MODEL_LOAD_PROGRESS, stage=stage)
    back = await cancel(world, model.id)
    assert (back.status, back.stage, back.progress) == ("pending", None, 0)
    assert (await world.event(subjects.CONTROL_CANCEL))["task_ids"] == [task]
    await world.publish(subjects.LIVE_LOAD, loading(task, model.id, 90, "placing"))
    await world.publish(subjects.REPORT_PREPARED, prepared(order))
    await world.order(subjects.WORK_REMOVE, w.RemoveArtifact)
    again = await world.load(model.id)
    assert (await world.prepare()).task_id == again.task_id
    await world.place()
    await world.event(subjects.MODEL_READY, model_id=model.id, task_id=again.task_id)


async def test_a_load_is_cancelled_while_it_is_placed(world: World) -> None:
    model = await world.register()
    task = (await world.load(model.id)).task_id
    await world.prepare()
    order = await world.order(subjects.WORK_PLACE, w.PlaceModel)
    back = await cancel(world, model.id)
    assert back.status == "unloaded", "its artifact is on disk"
    assert (await world.event(subjects.CONTROL_CANCEL))["task_ids"] == [task]
    await world.event(subjects.CONTROL_RELEASE, model_id=model.id)
    await world.publish(subjects.REPORT_PLACED, placed(order))
    orders = await world.heartbeat({model.id: order.artifact.fingerprint})
    assert orders.release == [model.id]
    assert task in orders.cancelled
    assert world.events(subjects.MODEL_READY) == []


async def test_a_load_is_cancelled_while_it_waits_for_a_slot(settings: CatalogSettings) -> None:
    one = settings.model_copy(update={"max_concurrent_loads": 1})
    async with running_world(one) as world:
        first, second, third = [await world.register(f"m{i}") for i in range(3)]
        for model in (first, second, third):
            await world.load(model.id)
        await world.order(subjects.WORK_PREPARE, w.PrepareModel)
        assert (await cancel(world, second.id)).status == "pending"
        await cancel(world, first.id)
        assert (await world.prepare()).model_id == third.id, "the cancelled one takes no slot"


async def test_a_model_deleted_while_it_loads_leaves_nothing(world: World) -> None:
    model = await world.register()
    task = (await world.load(model.id)).task_id
    order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    request = rpc.DeleteModelRequest(model_id=model.id)
    await world.ask(subjects.RPC_MODEL_DELETE, request, rpc.Done)
    assert (await world.event(subjects.CONTROL_CANCEL))["task_ids"] == [task]
    await world.event(subjects.MODEL_DELETED, model_id=model.id)
    await world.publish(subjects.LIVE_LOAD, loading(task, model.id, 90, "quantizing"))
    await world.publish(subjects.REPORT_PREPARED, prepared(order))
    removed = await world.order(subjects.WORK_REMOVE, w.RemoveArtifact)
    assert removed.fingerprint == fingerprint_of(model.model_identifier)
    assert world.events(subjects.MODEL_PREPARED) == []
    assert await world.pending(subjects.WORK_PLACE) == 0


@pytest.mark.parametrize("change", [{"name": "x"}, {"quantization": "int4"}, {"pinned": True}])
async def test_a_model_is_not_changed_while_it_loads(
    world: World, change: dict[str, object]
) -> None:
    model = await world.register()
    await world.load(model.id)
    request = rpc.UpdateModelRequest(model_id=model.id, **change)
    error = await world.refusal(subjects.RPC_MODEL_UPDATE, request)
    assert isinstance(error, StatusConflict)
    assert error.details["reason"] == "loading"


@pytest.mark.parametrize("reason", ["lru", "keep_alive"])
async def test_an_extraction_brings_back_a_model_that_was_evicted(
    world: World, reason: str
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.publish(subjects.REPORT_EVICTED, evicted(model.id, model.task_id or "", reason))
    gone = await world.event(subjects.MODEL_UNLOADED, model_id=model.id)
    assert (gone["reason"], gone["status"]) == (reason, "unloaded")
    accepted = await world.request(model.id, dataset.id, [0])
    await world.prepare()
    await world.place()
    await world.event(subjects.MODEL_READY, count=2, model_id=model.id)
    assert (await world.plan()).extraction_id == accepted.extraction_id


async def test_a_retry_is_told_and_a_stuck_load_is_ended(settings: CatalogSettings) -> None:
    quick = settings.model_copy(update={"load_stall_seconds": 3.0})
    async with running_world(quick) as world:
        model = await world.register()
        task = (await world.load(model.id)).task_id
        await world.order(subjects.WORK_PREPARE, w.PrepareModel)
        retry = r.LoadProgressedReport(
            task_id=task,
            model_id=model.id,
            stage=LoadStage.RESOLVING,
            progress=0,
            message="Trying again (1 of 3) in 1 s: The hub does not answer.",
            retry=1,
        )
        await world.publish(subjects.LIVE_LOAD, retry)
        told = await world.event(subjects.MODEL_LOAD_PROGRESS, model_id=model.id)
        assert (told["message"], told["retry"]) == (retry.message, 1)
        failed = await world.event(subjects.MODEL_FAILED, model_id=model.id)
        assert (failed["task_id"], failed["error"]["code"]) == (task, ErrorCode.MODEL_LOAD_FAILED)
        assert failed["error"]["details"]["reason"] == "stalled"
        assert (await world.event(subjects.CONTROL_CANCEL))["task_ids"] == [task]
        assert task in (await world.heartbeat()).cancelled
        report = r.ModelWorkFailedReport(task_id=task, model_id=model.id, failure=failure())
        await world.publish(subjects.REPORT_PREPARE_FAILED, report)
        assert (await world.load(model.id)).task_id != task


async def test_a_load_at_an_edge_that_is_cut_off_is_not_stuck(world: World) -> None:
    settings = world.settings
    model = await world.register()
    task = (await world.load(model.id)).task_id
    await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    await world.publish(subjects.LIVE_LOAD, loading(task, model.id, 50, "downloading"))
    await world.event(subjects.MODEL_LOAD_PROGRESS, stage="downloading")

    async def nobody(_: Any) -> Any:
        raise ServiceUnavailable("nobody answers")

    clock = [now()]
    at_an_edge = settings.model_copy(update={"edge": "jetson"})
    async with open_database(settings.database_url) as database:
        context = Context(
            database, at_an_edge, nobody, nobody, nobody, wake=lambda: None, now=lambda: clock[0]
        )
        loads = Loads(context)
        clock[0] += timedelta(hours=1)
        await loads.end_stalled()
        await world.heartbeat()
        # It is heard again, and has not been able to tell of its progress yet.
        await loads.end_stalled()
        assert (await world.model(model.id)).status == "loading"
        clock[0] += timedelta(seconds=settings.load_stall_seconds + 1)
        await loads.end_stalled()
        assert (await world.event(subjects.MODEL_FAILED))["error"]["details"]["reason"] == "stalled"


async def test_pinned_models_are_loaded_when_a_device_starts(world: World) -> None:
    pinned = await world.register("pinned", pinned=True)
    loose = await world.register("loose")
    await world.heartbeat(started_at=STARTED)
    assert (await world.prepare()).model_id == pinned.id
    placing = await world.place()
    assert placing.wish.pinned
    await world.event(subjects.MODEL_READY, model_id=pinned.id)
    assert (await world.model(loose.id)).status == "pending"
    await world.heartbeat({pinned.id: placing.artifact.fingerprint}, started_at=STARTED)
    assert await world.pending(subjects.WORK_PREPARE) == 0


async def test_a_pinned_model_that_its_user_unloads_stays_out(world: World) -> None:
    model = await world.ready_model(pinned=True)
    leaving = await world.unload(model.id)
    assert not leaving.pinned
    await world.publish(subjects.REPORT_EVICTED, evicted(model.id, leaving.task_id or ""))
    await world.event(subjects.MODEL_UNLOADED, model_id=model.id)
    await world.heartbeat({}, started_at=STARTED)
    assert await world.pending(subjects.WORK_PREPARE) == 0
    assert (await world.model(model.id)).status == "unloaded"
