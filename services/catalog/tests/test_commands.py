"""Commands from the bus do what requests do; refusals are events."""

from __future__ import annotations

import pytest

from mistudio_catalog.config import CatalogSettings
from mistudio_contracts import commands as c
from mistudio_contracts import subjects
from mistudio_contracts import work as w
from mistudio_contracts.errors import NotFound
from mistudio_servicekit.headers import ID
from mistudio_servicekit.provision import connect
from mistudio_testkit.bus import until

from .support import World, running_world


async def test_another_service_loads_and_extracts_by_the_bus_alone(world: World) -> None:
    model, dataset = await world.register(), await world.ready_dataset()
    await world.publish(subjects.MODEL_LOAD, c.LoadModel(model_id=model.id))
    await world.prepare()
    await world.place()
    await world.event(subjects.MODEL_READY, model_id=model.id)
    command = c.RequestExtraction(
        model_id=model.id, dataset_id=dataset.id, layer_indices=[0], extraction_id="ext_mine"
    )
    await world.publish(subjects.EXTRACTION, command)
    await world.event(subjects.EXTRACTION_QUEUED, extraction_id="ext_mine")
    await world.plan()
    await world.publish(subjects.EXTRACTION_CANCEL, c.CancelExtraction(extraction_id="ext_mine"))
    await world.event(subjects.EXTRACTION_CANCELLED, extraction_id="ext_mine")
    await world.publish(subjects.MODEL_UNLOAD, c.UnloadModel(model_id=model.id))
    await world.event(subjects.CONTROL_RELEASE, model_id=model.id)
    await world.heartbeat({})
    await world.event(subjects.MODEL_UNLOADED, model_id=model.id)
    await world.publish(subjects.MODEL_DELETE, c.DeleteModel(model_id=model.id))
    await world.event(subjects.MODEL_DELETED, model_id=model.id)


async def test_a_refused_command_is_answered_by_an_event(world: World) -> None:
    command_id = await world.publish(subjects.MODEL_LOAD, c.LoadModel(model_id="m_nobody"))
    refused = await world.event(subjects.COMMAND_REFUSED, command_id=command_id)
    assert refused["command"] == "model.load.requested"
    assert refused["model_id"] == "m_nobody"
    assert refused["error"]["code"] == "MODEL_NOT_FOUND"


async def test_a_refused_command_that_comes_again_stays_refused(world: World) -> None:
    """The bus may not have heard that it is done with, and what it asks for be possible by now."""
    model, dataset = await world.register(), await world.ready_dataset()
    command = c.RequestExtraction(
        model_id=model.id, dataset_id=dataset.id, layer_indices=[0], extraction_id="ext_late"
    )
    command_id = await world.publish(subjects.EXTRACTION, command)
    await world.event(subjects.COMMAND_REFUSED, command_id=command_id)
    await world.load(model.id)
    await world.prepare()
    await world.place()
    await world.event(subjects.MODEL_READY, model_id=model.id)
    client = await connect(world.settings.nats_url)
    try:
        # Without the id by which the stream would take it for the same.
        jetstream = client.jetstream()
        body = command.model_dump_json().encode()
        headers = {ID: command_id}
        await jetstream.publish(
            subjects.EXTRACTION.name(), body, stream="COMMANDS", headers=headers
        )

        async def handled() -> bool:
            return not (await jetstream.stream_info("COMMANDS")).state.messages

        await until(handled)
    finally:
        await client.close()
    with pytest.raises(NotFound):
        await world.extraction("ext_late")


async def test_commands_are_counted_by_who_asks(settings: CatalogSettings) -> None:
    strict = settings.model_copy(update={"load_requests_per_hour": 1})
    async with running_world(strict) as world:
        one, other = await world.register("one"), await world.register("other")
        load = c.LoadModel(model_id=one.id, requested_by="robot")
        await world.publish(subjects.MODEL_LOAD, load)
        await world.event(subjects.MODEL_LOADING, model_id=one.id)
        load = c.LoadModel(model_id=other.id, requested_by="robot")
        command_id = await world.publish(subjects.MODEL_LOAD, load)
        refused = await world.event(subjects.COMMAND_REFUSED, command_id=command_id)
        assert refused["error"]["code"] == "RATE_LIMITED"


async def test_nobody_on_the_bus_is_the_catalog_itself(shared_world: World) -> None:
    """Whose loads are not counted."""
    model = await shared_world.register()
    load = c.LoadModel(model_id=model.id, requested_by="system")
    command_id = await shared_world.publish(subjects.MODEL_LOAD, load)
    refused = await shared_world.event(subjects.COMMAND_REFUSED, command_id=command_id)
    assert refused["error"]["details"]["field"] == "requested_by"
    assert (await shared_world.model(model.id)).status == "pending"


async def test_a_command_handled_before_has_no_second_effect(world: World) -> None:
    """The stream drops a repeat within its window; the catalog knows it for a day."""
    model = await world.register()
    first = await world.load(model.id, actor="bus", idempotency_key="bus:once")
    await world.prepare()
    await world.place()
    await world.event(subjects.MODEL_READY)
    await world.publish(subjects.MODEL_LOAD, c.LoadModel(model_id=model.id), msg_id="once")
    second = await world.publish(subjects.MODEL_LOAD, c.LoadModel(model_id=model.id))
    await world.event(subjects.COMMAND_REFUSED, command_id=second)
    assert [e["command_id"] for e in world.events(subjects.COMMAND_REFUSED)] == [second]
    assert first.task_id == (await world.model(model.id)).task_id


async def test_a_cache_is_evicted_by_the_bus(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0])
    await world.publish(subjects.CACHE_EVICT, c.EvictCache(cache_id=done.cache_id or ""))
    await world.event(subjects.CACHE_EVICTED, cache_id=done.cache_id)
    await world.order(subjects.WORK_EVICT_STORE, w.EvictStore)
