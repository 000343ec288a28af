"""What the bus forgot is found in the rows, and devices that fall silent are noticed."""

from __future__ import annotations

import asyncpg
import pytest

from mistudio_catalog.config import CatalogSettings
from mistudio_contracts import subjects
from mistudio_contracts import work as w

from .support import World, captured, running_world


@pytest.fixture
def impatient(settings: CatalogSettings) -> CatalogSettings:
    return settings.model_copy(
        update={"work_silence_seconds": 0.5, "reconcile_seconds": 0.3, "shard_window": 2}
    )


async def test_lost_orders_of_a_load_are_given_again(impatient: CatalogSettings) -> None:
    async with running_world(impatient) as world:
        model = await world.register()
        task = (await world.load(model.id)).task_id
        # Taken off the queue, as a rebuilt stream has nothing of it, and never reported.
        await world.order(subjects.WORK_PREPARE, w.PrepareModel)
        again = await world.prepare()
        assert again.task_id == task
        await world.order(subjects.WORK_PLACE, w.PlaceModel)
        assert (await world.place()).task_id == task
        await world.event(subjects.MODEL_READY)


async def test_lost_orders_of_an_extraction_are_given_again(impatient: CatalogSettings) -> None:
    async with running_world(impatient) as world:
        model, dataset = await world.ready_model(), await world.ready_dataset()
        await world.request(model.id, dataset.id, [0])
        await world.order(subjects.WORK_PLAN, w.PlanExtraction)
        await world.plan(shards=3)
        lost = {(await world.order(subjects.WORK_SHARD, w.CaptureShard)).shard.index for _ in "ab"}
        assert lost == {0, 1}
        seen: set[int] = set()
        while len(seen) < 3:
            order = await world.order(subjects.WORK_SHARD, w.CaptureShard)
            seen.add(order.shard.index)
            await world.publish(subjects.REPORT_SHARD, captured(order))
        await world.order(subjects.WORK_COMMIT, w.CommitExtraction)
        await world.commit()
        await world.event(subjects.EXTRACTION_COMPLETED)


async def test_a_lost_part_of_a_plan_is_given_again_from_where_the_one_before_ended(
    impatient: CatalogSettings,
) -> None:
    async with running_world(impatient) as world:
        model, dataset = await world.ready_model(), await world.ready_dataset()
        await world.request(model.id, dataset.id, [0])
        await world.plan_part(1, rows=50)
        lost = await world.order(subjects.WORK_PLAN, w.PlanExtraction)
        assert lost.begin is not None
        await world.capture()
        again = await world.plan_part(1, rows=100)
        assert again == lost
        await world.capture()
        await world.commit()
        await world.event(subjects.EXTRACTION_COMPLETED)


async def test_what_was_heard_by_a_clock_that_was_set_back_hides_no_lost_order(
    impatient: CatalogSettings,
) -> None:
    async with running_world(impatient) as world:
        model = await world.register()
        await world.load(model.id)
        lost = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
        connection = await asyncpg.connect(impatient.database_url)
        await connection.execute("UPDATE models SET heard_at = heard_at + interval '1 hour'")
        await connection.close()
        again = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
        assert again == lost


async def test_an_order_that_waits_in_its_queue_is_not_given_again(
    impatient: CatalogSettings,
) -> None:
    async with running_world(impatient) as world:
        model = await world.register()
        await world.load(model.id)
        other = await world.register_dataset()
        # The dataset's order is lost and given again, so passes are made; the load's is not.
        await world.order(subjects.WORK_INGEST, w.IngestDataset)
        again = await world.order(subjects.WORK_INGEST, w.IngestDataset)
        assert again.dataset_id == other.id
        assert await world.pending(subjects.WORK_PREPARE) == 1


async def test_a_silent_device_is_offline_and_comes_back(settings: CatalogSettings) -> None:
    quick = settings.model_copy(update={"device_silence_seconds": 0.2})
    async with running_world(quick) as world:
        await world.heartbeat({})
        await world.event(subjects.DEVICE_STATUS, online=True)
        await world.event(subjects.DEVICE_STATUS, online=False)
        await world.heartbeat({})
        await world.event(subjects.DEVICE_STATUS, count=2, online=True)


async def test_a_device_is_told_of_only_when_it_changes(world: World) -> None:
    await world.heartbeat({}, used=1000)
    await world.heartbeat({}, used=1100)
    await world.heartbeat({}, used=1250)
    await world.heartbeat({}, used=1400)
    await world.heartbeat({"m_x": "f" * 32}, used=1400)
    await world.event(subjects.DEVICE_STATUS, resident_models=["m_x"])
    told = [event["memory_used_bytes"] for event in world.events(subjects.DEVICE_STATUS)]
    assert told == [1000, 1400, 1400], "a twentieth of the budget of 6000 is 300"


async def test_a_model_of_a_lost_device_goes_to_another(settings: CatalogSettings) -> None:
    quick = settings.model_copy(update={"device_silence_seconds": 2.0})
    async with running_world(quick) as world:
        model = await world.ready_model()
        await world.heartbeat({model.id: "f" * 32})
        await world.heartbeat({}, device_id="dev_two")
        while not world.events(subjects.DEVICE_STATUS, online=False):
            await world.heartbeat({}, device_id="dev_two")
        order = await world.order(subjects.WORK_PLACE, w.PlaceModel)
        assert order.model_id == model.id
        assert (await world.model(model.id)).status == "ready"
