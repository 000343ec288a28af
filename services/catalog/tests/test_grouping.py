"""Extractions on two models that do not fit the device together, with the test as the device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mistudio_catalog.config import CatalogSettings
from mistudio_contracts import subjects, views
from mistudio_contracts import work as w

from .support import World, captured, evicted, running_world

BUDGET = 9_000_000
"""Each model takes 5,000,000 bytes: one fits, two do not."""

SHARDS = 6


@pytest_asyncio.fixture
async def small(settings: CatalogSettings, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A catalog whose one device holds one model at a time; turns last as long as given."""
    wait = getattr(request, "param", 600.0)
    quick = settings.model_copy(
        update={
            "model_switch_max_wait_seconds": wait,
            "reconcile_seconds": 0.2,
            "device_silence_seconds": 600.0,
        }
    )
    async with running_world(quick) as world:
        yield world


async def two_at_work(world: World, budget: int = BUDGET) -> tuple[views.Model, views.Model]:
    """Return a model with an extraction under way, and an evicted one that another waits for."""
    dataset = await world.ready_dataset(samples=120)
    second = await world.ready_model("second")
    first = await world.ready_model("first")
    await world.publish(subjects.REPORT_EVICTED, evicted(second.id, second.task_id or "", "lru"))
    await world.event(subjects.MODEL_UNLOADED, model_id=second.id)
    await world.heartbeat({first.id: first.fingerprint or ""}, budget=budget)
    await world.request(first.id, dataset.id, [0])
    await world.plan(SHARDS)
    order = await world.order(subjects.WORK_SHARD, w.CaptureShard)
    await world.request(second.id, dataset.id, [0])
    await world.publish(subjects.REPORT_SHARD, captured(order))
    return first, second


async def test_the_second_model_is_loaded_when_the_first_has_no_work_left(small: World) -> None:
    first, second = await two_at_work(small)
    seen = [(await small.capture()).model_id for _ in range(SHARDS - 1)]
    assert seen == [first.id] * (SHARDS - 1), "all of one model's shards come first"
    assert (await small.prepare()).model_id == second.id
    await small.place()
    # Its shards wait for nobody: the first extraction needs its model no more.
    await small.plan(SHARDS)
    assert {(await small.capture()).model_id for _ in range(SHARDS)} == {second.id}


async def test_the_second_model_is_not_touched_while_the_first_has_work(small: World) -> None:
    first, second = await two_at_work(small)
    for _ in range(SHARDS - 3):
        assert (await small.capture()).model_id == first.id
    assert (await small.model(second.id)).status == "unloaded"
    assert await small.pending(subjects.WORK_PREPARE) == 0


@pytest.mark.parametrize("small", [0.5], indirect=True)
async def test_who_has_waited_long_enough_gets_its_turn_before_the_other_is_done(
    small: World,
) -> None:
    first, second = await two_at_work(small)
    # The first stops reporting: few of its shards are out, and no more will be.
    await small.prepare()
    await small.place()
    plan = await small.plan(SHARDS)
    assert plan.model_id == second.id
    turns = [first.id]
    captures = 0
    while captures < 2 * SHARDS - 1:
        model_id = (await small.capture()).model_id
        captures += 1
        if model_id != turns[-1]:
            turns.append(model_id)
    assert second.id in turns
    for _ in range(2):
        await small.commit()
    await small.event(subjects.EXTRACTION_COMPLETED, count=2)


async def test_models_that_fit_together_run_side_by_side(small: World) -> None:
    first, second = await two_at_work(small, budget=20_000_000)
    assert (await small.prepare()).model_id == second.id
    await small.place()
    assert (await small.plan(SHARDS)).model_id == second.id
    models = {(await small.capture()).model_id for _ in range(2 * SHARDS - 1)}
    assert models == {first.id, second.id}


async def test_a_model_evicted_in_the_middle_of_its_work_is_ready_again(small: World) -> None:
    first, _ = await two_at_work(small)
    await small.publish(subjects.REPORT_EVICTED, evicted(first.id, first.task_id or "", "lru"))
    await small.event(subjects.MODEL_UNLOADED, model_id=first.id)
    assert (await small.prepare()).model_id == first.id
    await small.place()
    await small.event(subjects.MODEL_READY, count=2, model_id=first.id)
    await asyncio.gather(*(small.capture() for _ in range(2)))
