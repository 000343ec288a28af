"""The outbox: nothing is lost while the bus is away, nothing is said twice by two relays."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.domain.outgoing import Outgoing
from mistudio_catalog.factory import create_app
from mistudio_catalog.storage.database import Database
from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts import events, rpc, subjects, views
from mistudio_servicekit.provision import provision
from mistudio_servicekit.testing import running

from .support import PATIENCE, World, running_world


async def emptied(database: Database) -> None:
    """Wait until nothing is left to publish."""

    deadline = time.monotonic() + PATIENCE * 2
    async with database.reading() as tx:
        while (await tx.outbox.lag())[0]:
            assert time.monotonic() < deadline, "the outbox was not emptied"


def deleted(name: str) -> Outgoing:
    return Outgoing(subjects.MODEL_DELETED, events.ModelDeleted(model_id=name), name)


async def test_what_commits_while_the_bus_is_away_is_published_in_order(
    catalog_url: str, database: Database, tmp_path: Path
) -> None:
    server = NatsServer(tmp_path / "nats")
    server.start()
    try:
        await provision(server.url, ("default",))
        settings = CatalogSettings(database_url=catalog_url, nats_url=server.url)
        async with running_world(settings) as world:
            await world.register("before")
            server.kill()
            for n in range(20):
                async with database.transaction() as tx:
                    await tx.send((deleted(f"m_{n}"),))
            server.start()
            await emptied(database)
            told = [event["model_id"] for event in await world.kept(subjects.MODEL_DELETED)]
            assert told == [f"m_{n}" for n in range(20)]
    finally:
        server.stop()


async def test_what_a_killed_process_left_is_published_by_the_next(
    settings: CatalogSettings, database: Database
) -> None:
    async with database.transaction() as tx:
        await tx.send((deleted("m_left"),))
    async with running_world(settings) as world:
        await world.event(subjects.MODEL_DELETED, model_id="m_left")


async def test_a_message_published_but_not_forgotten_is_told_once(
    settings: CatalogSettings, database: Database
) -> None:
    async with database.transaction() as tx:
        await tx.send((deleted("m_once"),))
    connection = await asyncpg.connect(settings.database_url)
    rows = await connection.fetch("SELECT * FROM outbox")
    async with running_world(settings) as world:
        await world.event(subjects.MODEL_DELETED, model_id="m_once")
        await emptied(database)
        # As a relay leaves it that dies between publishing and deleting.
        await connection.execute(
            "INSERT INTO outbox (id, subject, pool, entity_id, payload) VALUES ($1,$2,$3,$4,$5)",
            *(rows[0][key] for key in ("id", "subject", "pool", "entity_id", "payload")),
        )
        async with database.transaction() as tx:
            await tx.send((deleted("m_after"),))
        await world.event(subjects.MODEL_DELETED, model_id="m_after")
        assert len(world.events(subjects.MODEL_DELETED, model_id="m_once")) == 1
    await connection.close()


async def test_a_message_too_large_fails_its_extraction_and_the_others_go_on(
    settings: CatalogSettings, database: Database
) -> None:
    async with running_world(settings) as world:
        model, dataset = await world.ready_model(), await world.ready_dataset()
        accepted = await world.request(model.id, dataset.id, [0])
        order = await world.plan()
        huge = order.model_copy(update={"hook_points": ["layers.0.resid_post"] * 500_000})
        async with database.transaction() as tx:
            await tx.send((Outgoing(subjects.WORK_PLAN, huge, "x"), deleted("m_next")))
        await world.event(subjects.MODEL_DELETED, model_id="m_next")
        failed = await world.event(subjects.EXTRACTION_FAILED, extraction_id=accepted.extraction_id)
        assert failed["error"]["details"]["reason"] == "order_too_large"


async def test_two_replicas_tell_each_event_once(settings: CatalogSettings) -> None:
    async with running_world(settings, replicas=2) as world:
        models = await asyncio.gather(*(world.register(f"m{n}") for n in range(10)))
        for model in models:
            await world.load(model.id)
        for _ in models:
            await world.prepare()
            await world.place()
        for model in models:
            await world.event(subjects.MODEL_READY, model_id=model.id)
        dataset = await world.ready_dataset()
        await world.extract(models[0].id, dataset.id, [0], shards=8)
        for subject in (subjects.MODEL_REGISTERED, subjects.MODEL_LOADING, subjects.MODEL_READY):
            told = [event["model_id"] for event in world.events(subject)]
            assert sorted(told) == sorted(model.id for model in models)
        assert len(world.events(subjects.EXTRACTION_SHARD_COMPLETED)) == 8
        assert len(world.events(subjects.EXTRACTION_COMPLETED)) == 1


async def test_when_one_replica_ends_the_other_goes_on(settings: CatalogSettings) -> None:
    world = World(settings)
    await world.open()
    try:
        async with running(create_app(settings)):
            async with running(create_app(settings)):
                await world.register("one")
                await world.event(subjects.MODEL_REGISTERED)
            await world.register("two")
            await world.event(subjects.MODEL_REGISTERED, count=2)
            request = rpc.ListModelsRequest()
            page = await world.ask(subjects.RPC_MODEL_LIST, request, views.ModelPage)
            assert page.total == 2
    finally:
        await world.close()


async def test_nothing_waits_behind_progress_that_nobody_keeps(own_world: World) -> None:
    world = own_world
    await world.lose("PROGRESS")
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0], shards=3)
    assert done.status == "completed"
