"""What is to leave leaves once, however many catalogs look after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mistudio_catalog import factory
from mistudio_catalog.config import CatalogSettings
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_testkit.bus import until

from .support import World, running_world
from .test_cache_flow import sweep

CACHES = 6
BYTES = 1000 * 256 + 1000 * 4
"""Of a cache of one layer, as the stand-in for an extractor says."""

ARTIFACT = 4_000_000
"""Bytes of a prepared model, as the stand-in for a loader says."""


async def fill(world: World) -> list[str]:
    """Capture a layer of each of some datasets, and return the caches, the oldest first."""
    model = await world.ready_model()
    datasets = [await world.ready_dataset(f"texts-{n}") for n in range(CACHES)]
    kept = [await world.extract(model.id, each.id, [0], 1) for each in datasets]
    return [each.cache_id or "" for each in kept]


async def listed(world: World) -> set[str]:
    page = await world.ask(subjects.RPC_CACHE_LIST, rpc.ListCachesRequest(), views.CachePage)
    return {each.id for each in page.activations}


def of(events: list[dict[str, Any]]) -> list[str]:
    return sorted(each["cache_id"] for each in events)


async def test_replicas_that_sweep_at_once_let_go_of_what_is_too_much_and_no_more(
    settings: CatalogSettings,
) -> None:
    three = settings.model_copy(update={"activation_cache_limit_gb": 3 * BYTES / 1024**3})
    async with running_world(settings, replicas=2) as world:
        caches = await fill(world)
        await asyncio.gather(*(sweep(three) for _ in range(4)))
        await world.event(subjects.CACHE_EVICTED, CACHES - 3)
        assert await listed(world) == set(caches[-3:]), "the least recently used have left"
        assert of(await world.kept(subjects.CACHE_EVICTED)) == sorted(caches[:-3])


@pytest.mark.nightly("two catalogs")
async def test_housekeeping_of_two_replicas_lets_go_of_each_unused_cache_once(
    settings: CatalogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_world(settings) as world:
        caches = await fill(world)
    monkeypatch.setattr(factory, "HOUSEKEEPING_SECONDS", 0.01)
    impatient = settings.model_copy(update={"activation_cache_days": 1e-9})
    async with running_world(impatient, replicas=2) as world:
        await world.event(subjects.CACHE_EVICTED, CACHES)
        await until(lambda: ordered(world, CACHES))
        assert await listed(world) == set()
        assert of(await world.kept(subjects.CACHE_EVICTED)) == sorted(caches)


async def ordered(world: World, evictions: int) -> bool:
    """Tell whether so many evictions are ordered; more would be as wrong as fewer."""
    return await world.pending(subjects.WORK_EVICT_STORE) == evictions


async def test_a_cache_whose_store_an_extraction_needs_stays_until_that_ends(
    world: World,
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    kept = await world.extract(model.id, dataset.id, [0], 1)
    accepted = await world.request(model.id, dataset.id, [0, 1])
    await world.plan(1)
    none_at_all = world.settings.model_copy(update={"activation_cache_days": 1e-9})
    await sweep(none_at_all)
    assert await listed(world) == {kept.cache_id}
    await world.capture()
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=accepted.extraction_id)
    await sweep(none_at_all)
    assert await listed(world) == set()


async def test_artifacts_leave_that_nobody_used_for_longest_and_come_back_with_a_load(
    settings: CatalogSettings,
) -> None:
    two = settings.model_copy(update={"model_cache_limit_gb": 2 * ARTIFACT / 1024**3})
    eager = settings.model_copy(update={"reconcile_seconds": 0.1})
    async with running_world(eager, replicas=2) as world:
        in_memory = await world.ready_model("in-memory")
        pinned = await world.unloaded_model("pinned")
        await world.ask(subjects.RPC_MODEL_UPDATE, keep(pinned), views.Model)
        old, used = [await world.unloaded_model(name) for name in ("old", "used")]
        await asyncio.gather(*(sweep(two) for _ in range(4)))
        orders = [await world.order(subjects.WORK_REMOVE, w.RemoveArtifact) for _ in range(2)]
        assert {each.fingerprint for each in orders} == {old.fingerprint, used.fingerprint}
        assert await world.pending(subjects.WORK_REMOVE) == 0
        assert [(await world.model(each.id)).disk_bytes for each in (in_memory, pinned)] == [
            ARTIFACT,
            ARTIFACT,
        ]
        gone = await world.model(old.id)
        assert (gone.status, gone.disk_bytes, gone.fingerprint) == (
            "unloaded",
            None,
            old.fingerprint,
        )
        await world.load(old.id)
        await world.prepare()
        await world.place()
        await world.event(subjects.MODEL_READY, model_id=old.id)
        assert (await world.model(old.id)).disk_bytes == ARTIFACT


def keep(model: views.Model) -> rpc.UpdateModelRequest:
    return rpc.UpdateModelRequest.model_validate({"model_id": model.id, "pinned": True})
