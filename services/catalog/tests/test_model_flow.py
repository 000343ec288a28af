"""The way of a model, with the test as gateway, loader and extractor."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest

from mistudio_catalog.config import CatalogSettings
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import (
    ErrorCode,
    InvalidInput,
    PreconditionFailed,
    RateLimited,
    StatusConflict,
)
from mistudio_contracts.states import Quantization, Source

from .support import (
    DEVICE,
    World,
    evicted,
    facts,
    failure,
    fingerprint_of,
    loading,
    prepared,
    running_world,
)


async def test_a_load_goes_from_pending_to_ready(world: World) -> None:
    model = await world.register()
    assert model.status == "pending"
    assert (model.num_layers, model.config) == (12, {"n_embd": 64})
    accepted = await world.load(model.id)
    assert accepted.status == "loading"
    order = await world.prepare()
    assert order.task_id == accepted.task_id
    placing = await world.place()
    assert placing.task_id == accepted.task_id
    ready = await world.event(subjects.MODEL_READY, model_id=model.id)
    assert ready["task_id"] == accepted.task_id
    shown = await world.model(model.id)
    assert (shown.status, shown.progress, shown.memory_usage_bytes) == ("ready", 100, 5_000_000)
    kept = [name for name, data in world.seen if data.get("model_id") == model.id]
    assert [name for name in kept if name != "model.load.progress"] == [
        "model.registered",
        "model.loading",
        "model.prepared",
        "model.ready",
    ]


async def test_hook_points_are_known_once_the_model_was_placed(world: World) -> None:
    model = await world.register()
    request = rpc.ListHookPointsRequest(model_id=model.id)
    with pytest.raises(StatusConflict) as caught:
        await world.ask(subjects.RPC_HOOK_POINT_LIST, request, views.HookPointList)
    assert "load the model first" in caught.value.details["remedy"].lower()

    ready = await world.ready_model()
    request = rpc.ListHookPointsRequest(model_id=ready.id)
    found = await world.ask(subjects.RPC_HOOK_POINT_LIST, request, views.HookPointList)

    names = [each.hook_point for each in found.hook_points]
    assert names[:4] == ["embed", "layers.0.q", "layers.0.k", "layers.0.resid_post"]
    assert (len(names), found.num_layers) == (1 + 3 * 12, 12)
    keys = found.hook_points[2]
    assert (keys.layer, keys.kind, keys.width, keys.heads) == (0, "k", 16, 1)
    assert list(found.refused) == ["resid_mid"]


async def test_what_is_read_after_an_event_is_never_older(world: World) -> None:
    model = await world.register()
    await world.load(model.id)
    await world.prepare()
    await world.event(subjects.MODEL_PREPARED)
    assert (await world.model(model.id)).fingerprint == fingerprint_of(model.model_identifier)


async def test_live_progress_is_told_and_never_goes_back(world: World) -> None:
    model = await world.register()
    task = (await world.load(model.id)).task_id
    for percent, stage in ((20, "downloading"), (10, "resolving"), (62, "verifying")):
        await world.publish(subjects.LIVE_LOAD, loading(task, model.id, percent, stage))
    await world.publish(subjects.LIVE_LOAD, loading("task_other", model.id, 90, "placing"))
    await world.event(subjects.MODEL_LOAD_PROGRESS, progress=62)
    await world.prepare()
    await world.event(subjects.MODEL_LOAD_PROGRESS, stage="placing")
    told = world.events(subjects.MODEL_LOAD_PROGRESS)
    assert [each["progress"] for each in told] == [20, 62, 85]
    assert {each["task_id"] for each in told} == {task}


async def test_the_same_load_asked_for_twice_is_one_load(world: World) -> None:
    model = await world.register()
    answers = await asyncio.gather(*(world.load(model.id) for _ in range(5)))
    assert len({answer.task_id for answer in answers}) == 1
    await world.prepare()
    assert await world.pending(subjects.WORK_PREPARE) == 0
    await world.place()
    await world.event(subjects.MODEL_READY)
    assert len(world.events(subjects.MODEL_LOADING)) == 1


async def test_a_ready_model_is_not_loaded_again(world: World) -> None:
    model = await world.ready_model()
    error = await world.refusal(subjects.RPC_MODEL_LOAD, rpc.LoadModelRequest(model_id=model.id))
    assert isinstance(error, StatusConflict)
    assert "unload" in error.details["remedy"].lower()


async def test_two_loads_run_and_the_third_waits_for_its_turn(world: World) -> None:
    models = [await world.register(f"m{i}") for i in range(3)]
    for model in models:
        await world.load(model.id)
    first = await world.prepare()
    second = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    assert [first.model_id, second.model_id] == [models[0].id, models[1].id]
    assert await world.pending(subjects.WORK_PREPARE) == 0
    waiting = await world.model(models[2].id)
    assert (waiting.status, waiting.stage) == ("loading", "resolving")
    await world.place()
    assert (await world.prepare()).model_id == models[2].id


async def test_a_failed_load_says_why_and_may_be_tried_again(world: World) -> None:
    from mistudio_contracts.reports import ModelWorkFailedReport

    model = await world.register()
    task = (await world.load(model.id)).task_id
    await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    report = ModelWorkFailedReport(
        task_id=task,
        model_id=model.id,
        failure=failure("No room.", code=ErrorCode.INSUFFICIENT_MEMORY, remedy="Unload one."),
    )
    await world.publish(subjects.REPORT_PREPARE_FAILED, report)
    await world.event(subjects.MODEL_FAILED, model_id=model.id)
    failed = await world.model(model.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.details["remedy"] == "Unload one."
    again = await world.load(model.id)
    assert again.task_id != task
    await world.prepare()
    await world.place()
    await world.event(subjects.MODEL_READY)
    assert (await world.model(model.id)).error is None


async def test_a_cancelled_load_is_over_and_its_late_report_is_void(world: World) -> None:
    model = await world.register()
    task = (await world.load(model.id)).task_id
    order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    request = rpc.CancelLoadRequest(model_id=model.id)
    back = await world.ask(subjects.RPC_MODEL_LOAD_CANCEL, request, views.Model)
    assert back.status == "pending"
    gone = await world.event(subjects.MODEL_UNLOADED, model_id=model.id)
    assert gone["reason"] == "cancelled"
    assert (await world.event(subjects.CONTROL_CANCEL))["task_ids"] == [task]
    assert task in (await world.heartbeat()).cancelled
    await world.publish(subjects.REPORT_PREPARED, prepared(order))
    # What nobody waits for leaves the disk.
    removed = await world.order(subjects.WORK_REMOVE, w.RemoveArtifact)
    assert removed.fingerprint == fingerprint_of(model.model_identifier)
    assert (await world.model(model.id)).status == "pending"
    assert await world.pending(subjects.WORK_PLACE) == 0


async def test_an_unload_is_over_when_the_device_says_so(world: World) -> None:
    model = await world.ready_model()
    await world.heartbeat({model.id: "f" * 32})
    leaving = await world.unload(model.id)
    released = await world.event(subjects.CONTROL_RELEASE, model_id=model.id)
    assert released["task_id"] == leaving.task_id
    assert (await world.heartbeat({model.id: "f" * 32})).release == [model.id]
    await world.publish(subjects.REPORT_EVICTED, evicted(model.id, leaving.task_id or ""))
    gone = await world.event(subjects.MODEL_UNLOADED, model_id=model.id)
    assert (gone["reason"], gone["freed_bytes"]) == ("requested", 5_000_000)
    assert (await world.unload(model.id)).status == "unloaded", "again is no error"
    devices = await world.ask(subjects.RPC_DEVICE_LIST, rpc.ListDevicesRequest(), views.DevicePage)
    assert devices.devices[0].resident_models == []


async def test_an_unload_whose_report_was_lost_is_over_with_the_next_heartbeats(
    world: World,
) -> None:
    model = await world.ready_model()
    await world.heartbeat({model.id: "f" * 32})
    await world.unload(model.id)
    await world.heartbeat({})
    await world.event(subjects.MODEL_UNLOADED, model_id=model.id, reason="requested")


async def test_a_model_evicted_for_another_is_unloaded(world: World) -> None:
    model = await world.ready_model()
    await world.publish(subjects.REPORT_EVICTED, evicted(model.id, model.task_id or "", "lru"))
    gone = await world.event(subjects.MODEL_UNLOADED, model_id=model.id)
    assert gone["reason"] == "lru"
    assert (await world.load(model.id)).status == "loading"


async def test_a_model_let_go_of_for_an_outdated_wish_is_placed_again(world: World) -> None:
    model = await world.ready_model()
    report = evicted(model.id, model.task_id or "", "requested")
    await world.publish(subjects.REPORT_EVICTED, report)
    await world.place()
    assert (await world.model(model.id)).status == "ready"
    assert world.events(subjects.MODEL_UNLOADED) == []


@pytest.mark.parametrize("again", [2027, 2025], ids=["later", "by a clock that was set back"])
async def test_a_restarted_device_gets_its_models_back_in_silence(world: World, again: int) -> None:
    model = await world.ready_model()
    started = datetime(2026, 1, 1, tzinfo=timezone.utc)
    then = started.replace(year=again)
    await world.heartbeat({model.id: "f" * 32}, started_at=started)
    await world.heartbeat({}, started_at=then)
    await world.place()
    await world.heartbeat({model.id: "f" * 32}, started_at=then)
    shown = await world.model(model.id)
    assert shown.status == "ready"
    assert len(world.events(subjects.MODEL_READY)) == 1


async def test_a_deleted_model_leaves_the_device_and_the_disk(world: World) -> None:
    model = await world.ready_model()
    done = await world.ask(
        subjects.RPC_MODEL_DELETE, rpc.DeleteModelRequest(model_id=model.id), rpc.Done
    )
    assert done.done
    await world.event(subjects.MODEL_DELETED, model_id=model.id)
    await world.event(subjects.CONTROL_RELEASE, model_id=model.id)
    removed = await world.order(subjects.WORK_REMOVE, w.RemoveArtifact)
    assert removed.fingerprint == model.fingerprint
    error = await world.refusal(subjects.RPC_MODEL_GET, rpc.GetModelRequest(model_id=model.id))
    assert error.code is ErrorCode.MODEL_NOT_FOUND
    assert (await world.heartbeat({model.id: "f" * 32})).release == [model.id]


async def test_an_artifact_that_two_models_share_stays_with_the_other(world: World) -> None:
    one = await world.ready_model()
    other = await world.ready_model()
    assert one.fingerprint == other.fingerprint
    delete = rpc.DeleteModelRequest(model_id=one.id)
    await world.ask(subjects.RPC_MODEL_DELETE, delete, rpc.Done)
    delete = rpc.DeleteModelRequest(model_id=other.id)
    await world.ask(subjects.RPC_MODEL_DELETE, delete, rpc.Done)
    await world.order(subjects.WORK_REMOVE, w.RemoveArtifact)
    assert await world.pending(subjects.WORK_REMOVE) == 0


async def test_a_model_registered_while_no_loader_answers_learns_its_facts_later(
    settings: CatalogSettings,
) -> None:
    from mistudio_contracts.errors import ServiceUnavailable

    def away(_: rpc.InspectModelRequest) -> None:
        raise ServiceUnavailable("busy")

    async with running_world(settings) as world:
        world.inspect = away  # type: ignore[assignment]
        model = await world.register()
        assert model.num_layers is None
        await world.load(model.id)
        await world.prepare()
        await world.event(subjects.MODEL_PREPARED)
        assert (await world.model(model.id)).num_layers == 12


async def test_what_the_loader_finds_unfit_is_not_registered(world: World) -> None:
    def refuse(_: rpc.InspectModelRequest) -> None:
        raise InvalidInput("There are no weights.", field="model_identifier", reason="no_weights")

    world.inspect = refuse  # type: ignore[assignment]
    request = rpc.RegisterModelRequest(name="x", source=Source.LOCAL, model_identifier="/x")
    error = await world.refusal(subjects.RPC_MODEL_REGISTER, request)
    assert error.details["reason"] == "no_weights"


async def test_a_type_that_differs_from_the_config_is_refused(world: World) -> None:
    world.inspect = lambda _: facts(model_type="llama")
    request = rpc.RegisterModelRequest(
        name="x", source=Source.HUGGINGFACE, model_identifier="x", model_type="gpt2"
    )
    error = await world.refusal(subjects.RPC_MODEL_REGISTER, request)
    assert error.details["field"] == "model_type"
    assert "llama" in error.message


async def test_text_that_cannot_be_stored_is_refused(world: World) -> None:
    request = rpc.RegisterModelRequest(
        name="a\x00b", source=Source.HUGGINGFACE, model_identifier="x"
    )
    error = await world.refusal(subjects.RPC_MODEL_REGISTER, request)
    assert isinstance(error, InvalidInput)
    assert error.details["remedy"]


async def test_auto_load_begins_at_once_and_is_not_counted(settings: CatalogSettings) -> None:
    strict = settings.model_copy(update={"load_requests_per_hour": 1})
    async with running_world(strict) as world:
        model = await world.register(auto_load=True)
        assert model.status == "loading"
        other = await world.register("other")
        await world.load(other.id)
        third = await world.register("third")
        request = rpc.LoadModelRequest(model_id=third.id, actor="alice")
        error = await world.refusal(subjects.RPC_MODEL_LOAD, request)
        assert isinstance(error, RateLimited)
        assert 0 < error.details["retry_after_seconds"] <= 3601
        assert (await world.load(third.id, actor="bob")).status == "loading"
        assert (await world.load(other.id)).status == "loading", "the same load is no new one"


async def test_a_changed_model_refuses_an_edit_of_what_it_was(world: World) -> None:
    model = await world.register()
    rename = rpc.UpdateModelRequest(model_id=model.id, name="one", if_match=model.updated_at)
    renamed = await world.ask(subjects.RPC_MODEL_UPDATE, rename, views.Model)
    assert renamed.name == "one"
    error = await world.refusal(subjects.RPC_MODEL_UPDATE, rename)
    assert isinstance(error, PreconditionFailed)


async def test_a_change_of_format_prepares_anew_and_removes_the_old_files(world: World) -> None:
    model = await world.unloaded_model()
    change = rpc.UpdateModelRequest(model_id=model.id, quantization=Quantization.FP16)
    await world.ask(subjects.RPC_MODEL_UPDATE, change, views.Model)
    await world.load(model.id)
    assert (await world.prepare()).quantization is Quantization.FP16
    removed = await world.order(subjects.WORK_REMOVE, w.RemoveArtifact)
    assert removed.fingerprint == model.fingerprint
    await world.event(subjects.MODEL_PREPARED, count=2, model_id=model.id)
    assert (await world.model(model.id)).dtype == "float16"


async def test_a_repeated_request_with_one_key_is_one_request(world: World) -> None:
    first = await world.register(idempotency_key="k")
    second = await world.register(idempotency_key="k")
    assert first == second
    request = rpc.RegisterModelRequest(
        name="another",
        source=Source.HUGGINGFACE,
        model_identifier="x",
        actor="alice",
        idempotency_key="k",
    )
    error = await world.refusal(subjects.RPC_MODEL_REGISTER, request)
    assert error.details["field"] == "Idempotency-Key"
    bobs = await world.register(idempotency_key="k", actor="bob")
    assert bobs.id != first.id


async def test_lists_are_filtered_and_searched(world: World) -> None:
    await world.register("alpha")
    beta = await world.register("be_ta")
    await world.register("beXta")
    request = rpc.ListModelsRequest(search="be_", limit=1)
    page = await world.ask(subjects.RPC_MODEL_LIST, request, views.ModelPage)
    assert ([m.id for m in page.models], page.total) == ([beta.id], 1)
    request = rpc.ListModelsRequest(limit=2, offset=1)
    page = await world.ask(subjects.RPC_MODEL_LIST, request, views.ModelPage)
    assert ([m.name for m in page.models], page.total) == (["be_ta", "alpha"], 3)


@pytest.mark.parametrize("subject", [subjects.RPC_MODEL_UNLOAD, subjects.RPC_MODEL_LOAD_CANCEL])
async def test_what_is_not_under_way_cannot_be_ended(
    world: World, subject: subjects.Subject
) -> None:
    model = await world.register()
    error = await world.refusal(subject, subject.payload(model_id=model.id))
    assert isinstance(error, StatusConflict)
    assert error.details["remedy"]


async def test_a_device_that_lost_a_model_to_nobody_is_told_nothing(world: World) -> None:
    model = await world.ready_model()
    orders = await world.heartbeat({model.id: "f" * 32})
    assert (orders.release, orders.cancelled) == ([], [])
    assert (await world.event(subjects.DEVICE_STATUS))["device_id"] == DEVICE
