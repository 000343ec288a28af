"""The catalog and the streams of one moment, saved into a folder and put back out of it."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.domain import residency
from mistudio_catalog.storage.database import Database
from mistudio_catalog.storage.snapshot import (
    Snapshot,
    Tables,
    require_empty,
    snapshot,
    staged,
)
from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.states import ModelStatus
from mistudio_servicekit import keeping
from mistudio_servicekit.provision import connect

log = logging.getLogger(__name__)

EVENTS, COMMANDS, DEAD = "EVENTS", "COMMANDS", "DEAD"
SAVED = (EVENTS, COMMANDS, DEAD)
"""Streams that nobody could tell again. Orders are given again by what the rows say, reports follow
orders, and progress is of the moment."""

ATTEMPTS = 50
AT_ONCE = 500
INDEX = "index.json"


@dataclass(frozen=True)
class Index:
    """What a folder holds: ``catalog/<table>.copy`` and ``streams/<stream>.jsonl``.

    Parameters
    ----------
    revision
        Of the schema that the rows are of.
    tables
        Columns by table, in the order of the files.
    messages
        How many there are, by stream.
    stores
        Key and place of each activation store.
    models, datasets
        Fingerprints of what the catalog speaks of.
    """

    revision: str
    tables: Tables
    messages: dict[str, int]
    stores: list[tuple[str, str]]
    models: list[str]
    datasets: list[str]


async def save(settings: CatalogSettings, folder: Path) -> Index:
    """Save what there is into an empty folder; the services may run meanwhile.

    No event is saved that tells of what the saved rows do not know. A command that was handled
    meanwhile is in the inbox of the rows, and comes to nothing when it is given again.

    Raises
    ------
    ServiceUnavailable
        The database or the bus does not answer.
    """
    tables, streams = _folders(folder)
    client = await connect(settings.nats_url)
    jetstream = client.jetstream(timeout=10)
    try:
        messages = {COMMANDS: await keeping.save(jetstream, COMMANDS, _file(streams, COMMANDS))}
        for attempt in range(1, ATTEMPTS + 1):
            told = await keeping.last_sequence(jetstream, EVENTS)
            async with snapshot(settings.database_url) as taken:
                # Told while the moment was chosen: an event may be of before it, or of after.
                if told != await keeping.last_sequence(jetstream, EVENTS) and attempt < ATTEMPTS:
                    continue
                index = await _rows(taken, tables)
            break
        messages[EVENTS] = await keeping.save(jetstream, EVENTS, _file(streams, EVENTS), told)
        messages[DEAD] = await keeping.save(jetstream, DEAD, _file(streams, DEAD))
    finally:
        await client.close()
    index = Index(**{**asdict(index), "messages": messages})
    await asyncio.to_thread((folder / INDEX).write_text, json.dumps(asdict(index)), "utf-8")
    return index


async def _rows(taken: Snapshot, folder: Path) -> Index:
    return Index(
        revision=await taken.revision(),
        tables=await taken.save(folder),
        messages={},
        stores=await taken.stores(),
        models=await taken.fingerprints("models"),
        datasets=await taken.fingerprints("datasets"),
    )


async def check(settings: CatalogSettings) -> None:
    """Refuse where a restore would be refused.

    Raises
    ------
    StatusConflict
        There is something already, or services run.
    ServiceUnavailable
        The database or the bus does not answer, or the bus has no streams.
    """
    await require_empty(settings.database_url)
    client = await connect(settings.nats_url)
    try:
        await _require_streams(client.jetstream(timeout=10))
    finally:
        await client.close()


async def restore(settings: CatalogSettings, folder: Path) -> None:
    """Put back what :func:`save` has saved, into an empty database and onto an idle bus.

    The rows become visible at once and last. What they say of devices' memory is of the past, and
    which files came along with them an extractor has to find out.

    Raises
    ------
    StatusConflict
        There is something already, or services run.
    InvalidInput
        The rows are of a schema that this release does not know.
    ServiceUnavailable
        The database or the bus does not answer.
    """
    await check(settings)
    found: dict[str, Any] = json.loads(await asyncio.to_thread((folder / INDEX).read_text, "utf-8"))
    index = Index(**found)
    tables, streams = folder / "catalog", folder / "streams"
    async with staged(settings.database_url, index.revision, index.tables, tables) as apart:
        client = await connect(settings.nats_url)
        jetstream = client.jetstream(timeout=10)
        try:
            for stream in (EVENTS, DEAD):
                await keeping.put_back(jetstream, stream, _file(streams, stream))
            await keeping.publish_again(jetstream, COMMANDS, _file(streams, COMMANDS))
        finally:
            await client.close()
        await _settle(apart, keeping.message_ids(_file(streams, EVENTS)))


async def _settle(url: str, told: list[str]) -> None:
    """Make the rows say what is true of the place where they are now."""
    database = Database(url, most=1)
    await database.open()
    try:
        async with database.transaction() as tx:
            await tx.outbox.already_published(told)
            await tx.stores.uncheck()
            while True:
                ready, _ = await tx.models.page(
                    status=ModelStatus.READY, model_type=None, search=None, limit=AT_ONCE, offset=0
                )
                for each in ready:
                    # A list leaves some of a model out.
                    model = await tx.models.lock(each.id)
                    if model is None:
                        raise LookupError(f"the model {each.id} is listed and not there")
                    out, effects = residency.restored(model, utcnow())
                    await tx.models.save(out)
                    await tx.send(effects)
                if not ready:
                    break
    finally:
        await database.close()


async def _require_streams(jetstream: JetStreamContext) -> None:
    try:
        for stream in SAVED:
            await jetstream.stream_info(stream)
    except NotFoundError as error:
        raise ServiceUnavailable(
            "The bus has no streams yet.",
            reason="not_provisioned",
            remedy="Make them first: python -m mistudio_servicekit provision",
        ) from error


def _folders(folder: Path) -> tuple[Path, Path]:
    tables, streams = folder / "catalog", folder / "streams"
    for each in (tables, streams):
        each.mkdir(mode=0o700)
    return tables, streams


def _file(streams: Path, name: str) -> Path:
    return streams / f"{name}.jsonl"
