"""Many shards and many devices: what is told of them stays few, and no device waits for orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.domain import device, extracting, orders
from mistudio_catalog.domain.extraction import (
    ExtractionPhase,
    Live,
    ShardState,
)
from mistudio_contracts import events, reports, subjects
from mistudio_contracts import work as w
from mistudio_contracts.states import ExtractionStatus
from mistudio_contracts.values import ColumnPlan, ResidencyWish, ShardCut
from mistudio_testkit.bus import until

from .support import DEVICE, running_world
from .test_extraction_states import ARTIFACT, START, waiting

SHARDS = 30_000


def test_of_very_many_shards_about_a_thousand_are_told_and_the_last_is() -> None:
    state = replace(
        waiting(),
        status=ExtractionStatus.EXTRACTING,
        phase=ExtractionPhase.CAPTURING,
        task_id="task_1",
        shards_total=SHARDS,
        total_samples=SHARDS,
        work_total=SHARDS,
    )
    told: list[int] = []
    progress = 0
    for index in range(SHARDS):
        shard = ShardState(index, index, samples=1, tokens=10, hook_points=("embed",), work=1)
        now = START + index * timedelta(milliseconds=10)
        state, effects = extracting.captured(state, shard, Live(), now)
        for each in effects:
            if isinstance(each.payload, events.ExtractionShardCompleted):
                told.append(each.payload.shards_completed)
            else:
                progress += 1
    assert len(told) == extracting.SHARD_EVENTS
    assert told[-1] == SHARDS
    assert progress == 300 // 2 + 1, "every two seconds, and at the end"


def test_the_pace_of_heartbeats_and_progress_follows_the_devices() -> None:
    assert [device.report_seconds(each) for each in (1, 100, 1000)] == [5, 5, 50]
    assert [device.silence_seconds(20, each) for each in (1, 100, 1000)] == [20, 20, 200]
    running = replace(waiting(), task_id="task_1", artifact=ARTIFACT, store_key="c" * 32)
    shard = ShardState(0, 0, samples=1, tokens=10, hook_points=("embed",))
    (order,) = orders.shard_orders(running, ResidencyWish(), [shard], devices=1000)
    assert isinstance(order.payload, w.CaptureShard)
    assert order.payload.tell_every_seconds == pytest.approx(50)


async def test_as_many_shards_are_out_as_all_devices_need(settings: CatalogSettings) -> None:
    patient = settings.model_copy(update={"device_silence_seconds": 600.0})
    async with running_world(patient) as world:
        model, dataset = await world.ready_model(), await world.ready_dataset()
        for number in range(20):
            await world.heartbeat({}, device_id=f"{DEVICE}_{number}", budget=20_000_000)
        await world.request(model.id, dataset.id, [0])
        order = await world.order(subjects.WORK_PLAN, w.PlanExtraction)
        columns = [ColumnPlan(hook_point=point, shards_there=0) for point in order.hook_points]
        report = reports.ExtractionPlannedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            samples=100,
            tokens=1000,
            cuts=[ShardCut(samples=1, tokens=10)] * 100,
            columns=columns,
        )
        await world.publish(subjects.REPORT_PLANNED, report)

        async def two_for_each() -> bool:
            return await world.pending(subjects.WORK_SHARD) == 2 * 20

        await until(two_for_each)
