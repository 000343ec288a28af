"""Who did what is written down with what was done, and forgotten after its time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.domain.deeds import DONE, Deed, doing
from mistudio_catalog.services.audit import ACTIONS
from mistudio_catalog.services.context import Context
from mistudio_catalog.services.reconcile import Reconcile
from mistudio_catalog.storage.database import Database
from mistudio_contracts import commands as c
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import Door
from mistudio_contracts.subjects import ALL, Kind

from .support import World

READING = {
    *("model.list", "model.get", "model.estimate", "checkpoint.estimate", "hookpoint.list"),
    *("dataset.list", "dataset.get", "dataset.lengths"),
    *("extraction.list", "extraction.get", "extraction.estimate"),
    *("cache.list", "cache.get", "device.list", "audit.list"),
    *("deadletter.list", "deadletter.get"),
}
"""Requests that change nothing; to ask for a cache counts as use, and is not written down."""


async def entries(world: World, **wanted: Any) -> list[views.AuditEntry]:
    request = rpc.ListAuditRequest(**wanted)
    page = await world.ask(subjects.RPC_AUDIT_LIST, request, views.AuditPage)
    assert page.total >= len(page.entries)
    return page.entries


def told(entry: views.AuditEntry) -> tuple[str, str, str | None, str, str]:
    return entry.actor, entry.action, entry.object_id, entry.outcome, str(entry.door)


def test_whatever_may_change_something_is_written_down() -> None:
    asked = {s.pattern for s in ALL if s.kind is Kind.REQUEST and s.publisher == "gateway"}
    mine = {name.removeprefix("rpc.catalog.") for name in asked if name.startswith("rpc.catalog.")}
    written = {name.removeprefix("rpc.catalog.") for name in ACTIONS if name.startswith("rpc.")}
    assert mine == written | READING
    assert not written & READING
    assert {s.pattern for s in ALL if s.kind is Kind.COMMAND} == set(ACTIONS) - asked


async def test_what_is_done_is_written_with_who_and_to_what(shared_world: World) -> None:
    world = shared_world
    before = utcnow()
    model = await world.register(actor="ada")
    await world.load(model.id, actor="bob")
    dataset = await world.register_dataset()
    delete = rpc.DeleteDatasetRequest(dataset_id=dataset.id, actor="ada")
    await world.ask(subjects.RPC_DATASET_DELETE, delete, rpc.Done)
    found = await entries(world, since=before)
    assert [told(entry) for entry in reversed(found)] == [
        ("ada", "model.register", model.id, DONE, "rest"),
        ("bob", "model.load", model.id, DONE, "rest"),
        ("system", "dataset.register", dataset.id, DONE, "rest"),
        ("ada", "dataset.delete", dataset.id, DONE, "rest"),
    ]
    for entry in found:
        assert before <= entry.at <= utcnow()
        assert entry.trace_id is not None
        assert len(entry.trace_id) == 32
    assert len({entry.trace_id for entry in found}) == len(found)


async def test_what_is_refused_is_written_with_its_error(shared_world: World) -> None:
    world = shared_world
    request = rpc.DeleteModelRequest(model_id="m_nobody", actor="eve")
    await world.refusal(subjects.RPC_MODEL_DELETE, request)
    bad = rpc.RegisterModelRequest(
        name="x", source="huggingface", model_identifier="../x", actor="eve"
    )
    await world.refusal(subjects.RPC_MODEL_REGISTER, bad)
    dead = rpc.DeadLetterRequest(sequence=7, actor="eve")
    await world.refusal(subjects.RPC_DEAD_REPLAY, dead)
    assert [told(entry) for entry in await entries(world, by="eve")] == [
        ("eve", "deadletter.replay", "7", "NOT_FOUND", "rest"),
        ("eve", "model.register", None, "VALIDATION_ERROR", "rest"),
        ("eve", "model.delete", "m_nobody", "MODEL_NOT_FOUND", "rest"),
    ]


async def test_what_comes_twice_is_written_once(shared_world: World) -> None:
    world = shared_world
    for _ in range(3):
        await world.register(actor="cy", idempotency_key="once")
    assert len(await entries(world, by="cy")) == 1


async def test_a_command_on_the_bus_is_written_with_who_says_that_he_asks(
    shared_world: World,
) -> None:
    world = shared_world
    model = await world.register()
    load = c.LoadModel(model_id=model.id, requested_by="robot")
    await world.publish(subjects.MODEL_LOAD, load)
    await world.event(subjects.MODEL_LOADING, model_id=model.id)
    extract = c.RequestExtraction(
        model_id=model.id, dataset_id="ds_nobody", layer_indices=[0], requested_by="robot"
    )
    refused = await world.publish(subjects.EXTRACTION, extract)
    await world.event(subjects.COMMAND_REFUSED, command_id=refused)
    assert [told(entry) for entry in await entries(world, by="robot")] == [
        ("robot", "extraction.request", None, "DATASET_NOT_FOUND", "bus"),
        ("robot", "model.load", model.id, DONE, "bus"),
    ]


async def test_reading_writes_nothing(shared_world: World) -> None:
    world = shared_world
    await world.ask(subjects.RPC_MODEL_LIST, rpc.ListModelsRequest(actor="dan"), views.ModelPage)
    await world.refusal(subjects.RPC_MODEL_GET, rpc.GetModelRequest(model_id="m_x", actor="dan"))
    assert await entries(world, by="dan") == []


async def test_entries_are_found_by_actor_action_object_and_time(shared_world: World) -> None:
    world = shared_world
    start = utcnow()
    one = await world.register("one", actor="fay")
    between = utcnow()
    two = await world.register("two", actor="gus")
    await world.load(two.id, actor="fay")

    async def found(**wanted: Any) -> list[tuple[str, str | None]]:
        return [(entry.action, entry.object_id) for entry in await entries(world, **wanted)]

    assert await found(action="model.register", since=start) == [
        ("model.register", two.id),
        ("model.register", one.id),
    ]
    assert await found(object_id=two.id, by="fay") == [("model.load", two.id)]
    assert await found(since=start, before=between) == [("model.register", one.id)]
    assert len(await found(since=between)) == 2
    assert await found(since=between, limit=1, offset=1) == [("model.register", two.id)]


async def test_a_change_that_is_rolled_back_leaves_no_entry(database: Database) -> None:
    deed = Deed(actor="ada", action="model.delete", door=Door.REST, object_id="m_1")
    with doing(deed), pytest.raises(InvalidInput):
        async with database.transaction():
            raise InvalidInput("no")
    assert not deed.written
    with doing(deed):
        async with database.transaction():
            pass
        async with database.transaction():
            pass
    async with database.reading() as tx:
        (entry,), total = await tx.audit.page(rpc.ListAuditRequest())
    assert (entry.actor, entry.object_id, total) == ("ada", "m_1", 1)


async def test_what_is_older_than_its_days_is_forgotten_once_by_all_replicas(
    database: Database, settings: CatalogSettings
) -> None:
    now = utcnow()
    days = timedelta(days=settings.audit_days)
    assert days == timedelta(days=90)
    async with database.transaction() as tx:
        for age in (days + timedelta(minutes=1), days - timedelta(minutes=1), timedelta(0)):
            deed = Deed(actor="ada", action="model.load", door=Door.REST, object_id=str(age))
            await tx.audit.add(deed, DONE, now - age)

    def replica() -> Reconcile:
        context = Context(database, settings, *[None] * 4, now=lambda: now)  # type: ignore[arg-type]
        return Reconcile(context, None)  # type: ignore[arg-type]

    async def kept() -> int:
        async with database.reading() as tx:
            return (await tx.audit.page(rpc.ListAuditRequest()))[1]

    async with database.transaction() as tx:
        # Another replica is at it: this one leaves it to that one and does not wait.
        assert await tx.ledger.try_exclusively("forget")
        await asyncio.wait_for(replica().forget(), 10)
        assert await kept() == 3
    await asyncio.gather(*(replica().forget() for _ in range(4)))
    assert await kept() == 2
