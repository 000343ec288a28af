"""The quota holds while extractions write: room is made and set aside before the first shard."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.domain.quota import Stored, View, to_evict
from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.values import ColumnPlan

from .support import World, planned, running_world

SAMPLES, TOKENS = 100, 1000
ROWS = TOKENS * (64 * 4 + 4)
"""Bytes that an extraction of one layer sets aside."""

KEPT = TOKENS * 256 + TOKENS * 4
"""Bytes that the stand-in for an extractor says a cache of one layer came to."""


@pytest_asyncio.fixture
async def tight(settings: CatalogSettings, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A catalog with a quota of so many bytes."""
    limit = settings.model_copy(
        update={"activation_cache_limit_gb": request.param / 1024**3, "reconcile_seconds": 0.2}
    )
    async with running_world(limit) as world:
        yield world


async def evict(world: World) -> w.EvictStore:
    """Do one eviction, as an extractor does."""
    order = await world.order(subjects.WORK_EVICT_STORE, w.EvictStore)
    gone = r.StoreEvictedReport(
        task_id=order.task_id, store_key=order.store_key, freed_bytes=1, columns_left=0
    )
    await world.publish(subjects.REPORT_STORE_EVICTED, gone)
    return order


async def plan_beside(world: World, there: str) -> None:
    """Do one plan of a store that has a column already."""
    order = await world.order(subjects.WORK_PLAN, w.PlanExtraction)
    columns = [
        ColumnPlan(hook_point=point, shards_there=int(point == there))
        for point in order.hook_points
    ]
    report = planned(order).model_copy(update={"columns": columns})
    await world.publish(subjects.REPORT_PLANNED, report)


def of(quota: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("tight", [quota], indirect=True)


@of(2 * KEPT + ROWS - 1)
async def test_the_least_recently_used_caches_leave_before_anything_is_written(
    tight: World,
) -> None:
    model = await tight.ready_model()
    datasets = [await tight.ready_dataset(name, SAMPLES) for name in ("a", "b", "c")]
    old, used = [await tight.extract(model.id, each.id, [0], 1) for each in datasets[:2]]
    # Asked for again, the first is not the least recently used any more.
    await tight.request(model.id, datasets[0].id, [0])
    accepted = await tight.request(model.id, datasets[2].id, [0])
    await tight.plan(1)
    gone = await tight.event(subjects.CACHE_EVICTED)
    assert gone["cache_id"] == used.cache_id != old.cache_id
    assert await tight.pending(subjects.WORK_SHARD) == 0, "its bytes are on the disk still"
    await evict(tight)
    await tight.capture()
    await tight.commit()
    await tight.event(subjects.EXTRACTION_COMPLETED, extraction_id=accepted.extraction_id)


@of(ROWS + KEPT - 1)
async def test_what_does_not_fit_beside_caches_in_use_is_refused_and_nothing_leaves(
    tight: World,
) -> None:
    model, dataset = await tight.ready_model(), await tight.ready_dataset(samples=SAMPLES)
    kept = await tight.extract(model.id, dataset.id, [0], 1)
    # A column more of the same store: what it has is in use.
    accepted = await tight.request(model.id, dataset.id, [0, 1])
    await plan_beside(tight, "layers.0.resid_post")
    event = await tight.event(subjects.EXTRACTION_FAILED)
    assert event["extraction_id"] == accepted.extraction_id
    assert event["error"]["code"] == "INSUFFICIENT_STORAGE"
    details = event["error"]["details"]
    assert details.pop("remedy")
    assert details == {
        "reason": "over_quota",
        "required_bytes": ROWS,
        "limit_bytes": ROWS + KEPT - 1,
        "stored_bytes": KEPT,
        "reserved_bytes": 0,
        "evictable_bytes": 0,
    }
    assert await tight.pending(subjects.WORK_SHARD) == 0
    assert (await tight.request(model.id, dataset.id, [0])).cache_id == kept.cache_id


@of(2 * ROWS - 1)
async def test_what_runs_counts_in_full_until_it_is_over(tight: World) -> None:
    model = await tight.ready_model()
    first, second = [await tight.ready_dataset(name, SAMPLES) for name in ("a", "b")]
    running = await tight.request(model.id, first.id, [0])
    await tight.plan(1)
    late = await tight.request(model.id, second.id, [0])
    await tight.plan(1)
    event = await tight.event(subjects.EXTRACTION_FAILED)
    assert event["extraction_id"] == late.extraction_id
    assert event["error"]["details"]["reserved_bytes"] == ROWS
    await tight.capture()
    await tight.commit()
    await tight.event(subjects.EXTRACTION_COMPLETED, extraction_id=running.extraction_id)
    # Over, it is a cache like others, which makes room for the same request.
    again = await tight.request(model.id, second.id, [0])
    refused = await evict(tight)
    plan = await tight.plan(1)
    assert plan.store_key == refused.store_key
    await evict(tight)
    await tight.capture()
    await tight.commit()
    await tight.event(subjects.EXTRACTION_COMPLETED, extraction_id=again.extraction_id)


async def test_a_failure_takes_its_half_written_columns_along(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.extract(model.id, dataset.id, [0], 1)
    accepted = await world.request(model.id, dataset.id, [0, 1])
    await plan_beside(world, "layers.0.resid_post")
    await world.order(subjects.WORK_SHARD, w.CaptureShard)
    cancel = rpc.CancelExtractionRequest(extraction_id=accepted.extraction_id)
    await world.ask(subjects.RPC_EXTRACTION_CANCEL, cancel, views.Extraction)
    eviction = await evict(world)
    assert eviction.hook_points == ["layers.1.resid_post"]


STORED = Stored({("s", "a"): 10, ("s", "b"): 20, ("t", "a"): 40}, {"s": 1, "t": 2})
VIEWS = [
    View("first", "s", ("a",), busy=False),
    View("second", "s", ("a", "b"), busy=False),
    View("third", "t", ("a",), busy=False),
]


def test_a_column_leaves_with_the_last_cache_that_shows_it() -> None:
    assert STORED.bytes == 73
    assert to_evict(1, VIEWS, STORED) == (["first", "second"], 31)
    assert to_evict(32, VIEWS, STORED) == (["first", "second", "third"], 73)


def test_caches_of_busy_stores_stay() -> None:
    busy = [View(each.cache_id, each.store_key, each.hook_points, True) for each in VIEWS[:2]]
    assert to_evict(100, [*busy, VIEWS[2]], STORED) == (["third"], 42)
    assert to_evict(0, VIEWS, STORED) == ([], 0)
