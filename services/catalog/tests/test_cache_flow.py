"""Caches are views over the columns of a store; columns leave when no view shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.services.caches import Caches
from mistudio_catalog.services.context import Context
from mistudio_catalog.services.retention import Retention
from mistudio_catalog.services.stores import Stores
from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import ErrorCode, ServiceUnavailable

from .support import World, committed, now, open_database


async def evict(world: World, cache_id: str) -> int:
    request = rpc.EvictCacheRequest(cache_id=cache_id)
    await world.ask(subjects.RPC_CACHE_EVICT, request, rpc.Done)
    event = await world.event(subjects.CACHE_EVICTED, cache_id=cache_id)
    return int(event["freed_bytes"])


async def finish_eviction(world: World) -> w.EvictStore:
    order = await world.order(subjects.WORK_EVICT_STORE, w.EvictStore)
    report = r.StoreEvictedReport(
        task_id=order.task_id, store_key=order.store_key, freed_bytes=1, columns_left=0
    )
    await world.publish(subjects.REPORT_STORE_EVICTED, report)
    return order


async def test_a_cache_shows_its_columns_and_reading_it_is_use(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [10, 2])
    cache = await world.ask(
        subjects.RPC_CACHE_GET, rpc.GetCacheRequest(cache_id=done.cache_id or ""), views.Cache
    )
    assert [c.hook_point for c in cache.columns] == ["layers.2.resid_post", "layers.10.resid_post"]
    assert cache.layer_indices == [2, 10]
    assert cache.activation_shape == [1000, 64]
    assert cache.last_accessed_at > cache.created_at
    page = await world.ask(
        subjects.RPC_CACHE_LIST, rpc.ListCachesRequest(model_id=model.id), views.CachePage
    )
    assert [c.id for c in page.activations] == [cache.id]


async def test_columns_that_another_cache_shows_stay(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    both = await world.extract(model.id, dataset.id, [0, 1])
    one = await world.request(model.id, dataset.id, [0])
    assert one.cached
    assert await evict(world, both.cache_id or "") == 1000 * 256
    order = await finish_eviction(world)
    assert order.hook_points == ["layers.1.resid_post"]
    assert (await world.request(model.id, dataset.id, [0])).cached
    assert not (await world.request(model.id, dataset.id, [0, 1])).cached


async def test_the_last_cache_takes_the_whole_store_along(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0])
    assert await evict(world, done.cache_id or "") == 1000 * 256 + 1000 * 4
    missing = await world.refusal(
        subjects.RPC_CACHE_GET, rpc.GetCacheRequest(cache_id=done.cache_id or "")
    )
    assert missing.code is ErrorCode.CACHE_NOT_FOUND
    again = await world.request(model.id, dataset.id, [0])
    assert again.status == "queued"
    assert (await finish_eviction(world)).hook_points is None
    # Only now, that the files are gone, a plan may look for them.
    assert (await world.plan()).extraction_id == again.extraction_id
    assert (await world.extraction(done.extraction_id)).cache_id is None


async def test_an_eviction_waits_for_the_extraction_that_runs_on_the_store(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0])
    await world.request(model.id, dataset.id, [1])
    await world.plan()
    await evict(world, done.cache_id or "")
    assert await world.pending(subjects.WORK_EVICT_STORE) == 0
    await world.capture()
    await world.commit()
    assert (await finish_eviction(world)).hook_points == ["layers.0.resid_post"]


async def test_a_commit_brings_nothing_back_that_waits_for_it_to_leave(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0])
    await world.request(model.id, dataset.id, [1])
    plan = await world.plan()
    await evict(world, done.cache_id or "")
    await world.capture()
    order = await world.order(subjects.WORK_COMMIT, w.CommitExtraction)
    both = ["layers.0.resid_post", "layers.1.resid_post"]
    await world.publish(subjects.REPORT_COMMITTED, committed(order, both))
    await finish_eviction(world)
    assert await columns(world.settings, plan.store_key) == ["layers.1.resid_post"]


async def test_a_deleted_model_takes_its_caches_along(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0])
    delete = rpc.DeleteModelRequest(model_id=model.id)
    await world.ask(subjects.RPC_MODEL_DELETE, delete, rpc.Done)
    event = await world.event(subjects.CACHE_EVICTED, cache_id=done.cache_id)
    assert event["freed_bytes"] > 0
    assert (await finish_eviction(world)).hook_points is None


async def test_a_store_that_another_model_shares_stays(world: World) -> None:
    one, other = await world.ready_model(), await world.ready_model()
    dataset = await world.ready_dataset()
    await world.extract(one.id, dataset.id, [0])
    assert (await world.request(other.id, dataset.id, [0])).cached
    delete = rpc.DeleteModelRequest(model_id=one.id)
    await world.ask(subjects.RPC_MODEL_DELETE, delete, rpc.Done)
    await world.event(subjects.MODEL_DELETED)
    assert await world.pending(subjects.WORK_EVICT_STORE) == 0
    assert (await world.request(other.id, dataset.id, [0])).cached


async def test_a_deleted_dataset_leaves_its_caches(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0])
    delete = rpc.DeleteDatasetRequest(dataset_id=dataset.id)
    await world.ask(subjects.RPC_DATASET_DELETE, delete, rpc.Done)
    await world.event(subjects.DATASET_DELETED)
    removed = await world.order(subjects.WORK_REMOVE_DATASET, w.RemoveDataset)
    assert removed.fingerprint == dataset.fingerprint
    cache = await world.ask(
        subjects.RPC_CACHE_GET, rpc.GetCacheRequest(cache_id=done.cache_id or ""), views.Cache
    )
    assert cache.dataset_id is None
    assert (await world.extraction(done.extraction_id)).dataset_id == dataset.id


async def test_the_least_recently_used_caches_leave_when_the_limit_is_lowered(
    world: World,
) -> None:
    one_cache = world.settings.model_copy(update={"activation_cache_limit_gb": 300_000 / 1024**3})
    model, dataset = await world.ready_model(), await world.ready_dataset()
    other = await world.ready_dataset("other")
    first = await world.extract(model.id, dataset.id, [0])
    second = await world.extract(model.id, other.id, [0])
    assert (await world.request(model.id, dataset.id, [0])).cached, "that is use"
    await sweep(one_cache)
    await world.event(subjects.CACHE_EVICTED, cache_id=second.cache_id)
    assert (await world.request(model.id, dataset.id, [0])).cache_id == first.cache_id


async def test_caches_that_nobody_used_for_a_month_leave(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0])
    await sweep(world.settings)
    assert world.events(subjects.CACHE_EVICTED) == []
    await sweep(world.settings, now=lambda: now() + timedelta(days=31))
    await world.event(subjects.CACHE_EVICTED, cache_id=done.cache_id)


async def columns(settings: CatalogSettings, store_key: str) -> list[str]:
    """Return the columns that the catalog has of a store."""
    async with open_database(settings.database_url) as database, database.reading() as tx:
        return list(await tx.stores.columns(store_key))


async def sweep(settings: CatalogSettings, now: Callable[[], datetime] = now) -> None:
    """Do what housekeeping does from time to time."""

    async def nobody(_: Any) -> Any:
        raise ServiceUnavailable("nobody answers")

    async with open_database(settings.database_url) as database:
        context = Context(
            database,
            settings,
            inspect=nobody,
            probe=nobody,
            count_tokens=nobody,
            wake=lambda: None,
            now=now,
        )
        retention = Retention(context, Caches(context, Stores(context)))
        await retention.sweep()
        await retention.sweep_models()
