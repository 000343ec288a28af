"""Rows and streams of a moment are saved and put back: into an empty place, and whole."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.services import keeping
from mistudio_contracts import commands, rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import InvalidInput, StatusConflict
from mistudio_contracts.states import CacheStatus
from mistudio_contracts.subjects import dead_letter
from mistudio_servicekit.provision import connect, provision
from mistudio_testkit.bus import until
from mistudio_testkit.servers import nats_server

from .support import World, running_world


@dataclass
class Elsewhere:
    """An empty database and an idle bus."""

    settings: CatalogSettings


@pytest_asyncio.fixture
async def elsewhere(
    settings: CatalogSettings, postgres_url: str, template: str, tmp_path: Path
) -> AsyncIterator[Elsewhere]:
    name = f"catalog_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        with nats_server(tmp_path / "elsewhere") as nats_url:
            await provision(nats_url, ("default",))
            url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
            there = {
                "database_url": url,
                "nats_url": nats_url,
                "reconcile_seconds": 0.1,
                "work_silence_seconds": 0.5,
            }
            yield Elsewhere(settings.model_copy(update=there))
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def pages(world: World) -> dict[str, Any]:
    """Return what lists and each of their entries say."""
    models = await world.ask(subjects.RPC_MODEL_LIST, rpc.ListModelsRequest(), views.ModelPage)
    extractions = await world.ask(
        subjects.RPC_EXTRACTION_LIST, rpc.ListExtractionsRequest(), views.ExtractionPage
    )
    datasets = await world.ask(
        subjects.RPC_DATASET_LIST, rpc.ListDatasetsRequest(), views.DatasetPage
    )
    caches = await world.ask(subjects.RPC_CACHE_LIST, rpc.ListCachesRequest(), views.CachePage)
    return {
        "models": [await world.model(each.id) for each in models.models],
        "datasets": datasets,
        "extractions": extractions,
        "caches": caches,
    }


async def shards_are_ordered(settings: CatalogSettings, shards: int) -> bool:
    """Whether so many shards are, after which nothing moves by itself."""
    client = await connect(settings.nats_url)
    try:
        name = subjects.WORK_SHARD.name(settings.pool)
        info = await client.jetstream().stream_info("WORK", subjects_filter=name)
        return (info.state.subjects or {}).get(name) == shards
    finally:
        await client.close()


async def dead(settings: CatalogSettings, publish: bool = False) -> list[tuple[int, str, bytes]]:
    """Return the dead letters, and put two there first, one of which leaves again."""
    client = await connect(settings.nats_url)
    try:
        jetstream = client.jetstream()
        subject = dead_letter(subjects.MODEL_LOAD.name())
        if publish:
            for text in (b"gone", b"first", b"gone too", b"second"):
                kept = await jetstream.publish(subject, text, stream="DEAD")
                if text.startswith(b"gone"):
                    await jetstream.delete_msg("DEAD", kept.seq)
        state = (await jetstream.stream_info("DEAD")).state
        found = []
        for sequence in range(int(state.first_seq), int(state.last_seq) + 1):
            with suppress(NotFoundError):
                message = await jetstream.get_msg("DEAD", sequence)
                found.append((sequence, str(message.subject), message.data or b""))
        return found
    finally:
        await client.close()


def without_status(caches: views.CachePage) -> list[dict[str, Any]]:
    return [each.model_dump(exclude={"status"}) for each in caches.activations]


async def test_all_that_the_catalog_shows_comes_back_with_its_events_in_their_places(
    settings: CatalogSettings, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    async with running_world(settings) as world:
        ready = await world.ready_model("ready")
        left = await world.unloaded_model("left")
        dataset, other = await world.ready_dataset(), await world.ready_dataset("other")
        here = await world.extract(ready.id, dataset.id, [0], 1)
        gone = await world.extract(ready.id, other.id, [0], 1)
        running = await world.request(ready.id, dataset.id, [1])
        await world.plan(2)
        await until(partial(shards_are_ordered, settings, 2))
        letters = await dead(settings, publish=True)
        before = await pages(world)
        completed = await world.kept(subjects.EXTRACTION_COMPLETED)
        # Saved beside a catalog that runs.
        folder = tmp_path / "saved"
        await asyncio.to_thread(folder.mkdir)
        index = await keeping.save(settings, folder)
    assert index.messages["EVENTS"] > 0
    assert {key for key, _ in index.stores} == {
        each.store_key for each in before["caches"].activations
    }

    await keeping.restore(elsewhere.settings, folder)
    assert await dead(elsewhere.settings) == letters
    with pytest.raises(StatusConflict) as refused:
        await keeping.restore(elsewhere.settings, folder)
    assert refused.value.details["reason"] == "not_empty"

    async with running_world(elsewhere.settings) as world:
        after = await pages(world)
        assert after["datasets"] == before["datasets"]
        assert after["extractions"] == before["extractions"]
        assert without_status(after["caches"]) == without_status(before["caches"])
        assert {each.status for each in after["caches"].activations} == {CacheStatus.UNCHECKED}
        by_id = {each.id: each for each in after["models"]}
        assert by_id[left.id] == left
        assert by_id[ready.id].status == "loading", "what runs needs it, and no device here has it"
        assert by_id[ready.id].fingerprint == ready.fingerprint
        assert by_id[ready.id].config == ready.config
        await world.event(subjects.MODEL_UNLOADED, model_id=ready.id)
        assert await world.kept(subjects.EXTRACTION_COMPLETED) == completed
        await only_one_store_lies_there(world, here, gone)
        await what_ran_is_ordered_again(world, running.extraction_id)


async def only_one_store_lies_there(
    world: World, here: views.Extraction, gone: views.Extraction
) -> None:
    async def look(request: rpc.CheckStoreRequest) -> rpc.StoreCheck:
        there = ["layers.0.resid_post"] if request.store_key in (here.storage_path or "") else []
        return rpc.StoreCheck(storage_path=f"/moved/{request.store_key}", hook_points=there)

    await world.answer(subjects.RPC_STORE_CHECK, look)

    async def looked() -> bool:
        return (await cache(world, gone)).status is not CacheStatus.UNCHECKED

    await until(looked)
    there, missing = await cache(world, here), await cache(world, gone)
    assert (there.status, missing.status) == (CacheStatus.READY, CacheStatus.MISSING)
    for each in (there, missing):
        await world.event(subjects.CACHE_CHECKED, cache_id=each.id, status=each.status.value)
    assert there.storage_path == f"/moved/{there.store_key}"
    assert (await world.extraction(here.extraction_id)).storage_path == there.storage_path
    assert missing.rows_considered is not None, "so that the same can be asked for again"
    again = await world.request(gone.model_id, gone.dataset_id, [0])
    assert not again.cached, "what is missing answers no request"


async def cache(world: World, extraction: views.Extraction) -> views.Cache:
    request = rpc.GetCacheRequest(cache_id=extraction.cache_id or "")
    return await world.ask(subjects.RPC_CACHE_GET, request, views.Cache)


async def what_ran_is_ordered_again(world: World, extraction_id: str) -> None:
    """Do what is left of the extraction that was under way, as workers do."""
    await world.prepare()
    await world.place()
    for _ in range(2):
        await world.capture()
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=extraction_id)


async def test_a_database_in_use_is_left_alone(
    settings: CatalogSettings, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    await keeping.save(settings, tmp_path)
    other = await asyncpg.connect(elsewhere.settings.database_url)
    try:
        with pytest.raises(StatusConflict) as refused:
            await keeping.restore(elsewhere.settings, tmp_path)
        assert refused.value.details["reason"] == "in_use"
    finally:
        await other.close()
    # Of the attempt that was refused nothing is left that would keep the next from it.
    await keeping.restore(elsewhere.settings, tmp_path)


async def test_rows_of_an_unknown_schema_are_refused_and_nothing_is_there(
    settings: CatalogSettings, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    index = await keeping.save(settings, tmp_path)
    told = (tmp_path / keeping.INDEX).read_text().replace(index.revision, "9999")
    (tmp_path / keeping.INDEX).write_text(told)
    with pytest.raises(InvalidInput) as refused:
        await keeping.restore(elsewhere.settings, tmp_path)
    assert refused.value.details["reason"] == "unknown_revision"
    await keeping.check(elsewhere.settings)


async def test_a_command_that_waits_is_handled_where_it_comes_back(
    settings: CatalogSettings, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    async with running_world(settings) as world:
        model = await world.register()
    client = await connect(settings.nats_url)
    load = commands.LoadModel(model_id=model.id)
    headers = {"Nats-Msg-Id": "cmd_1", "ce-id": "cmd_1", "ce-type": subjects.MODEL_LOAD.name()}
    await client.jetstream().publish(
        subjects.MODEL_LOAD.name(), load.model_dump_json().encode(), headers=headers
    )
    await client.close()
    await keeping.save(settings, tmp_path)
    await keeping.restore(elsewhere.settings, tmp_path)
    async with running_world(elsewhere.settings) as world:
        order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
        assert order.model_id == model.id
