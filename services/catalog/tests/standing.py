"""A catalog that stays from test to test, and is emptied in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import nats
from nats.js import JetStreamContext

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.factory import create_app
from mistudio_contracts.topology import streams
from mistudio_servicekit.lifecycle import Life
from mistudio_servicekit.testing import running
from mistudio_testkit.bus import until

from .support import World

HANDLED_BY_THE_CATALOG = ("COMMANDS", "REPORTS")
TABLES = (
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
)
WAITING = "SELECT EXISTS (SELECT FROM outbox WHERE parked_because IS NULL)"


class Standing:
    """A running catalog, with the bus and the database of its settings.

    It keeps nothing but rows and messages, and without either is as good as new. What it counts for
    Prometheus is the exception: who asks for that needs a catalog of their own.
    """

    def __init__(
        self,
        settings: CatalogSettings,
        life: Life,
        jetstream: JetStreamContext,
        database: asyncpg.Connection[asyncpg.Record],
    ) -> None:
        self._settings = settings
        self._life = life
        self._jetstream = jetstream
        self._database = database

    @asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        """Yield the surroundings of the emptied catalog."""
        await self._empty()
        world = World(self._settings)
        world.life = self._life
        await world.open()
        try:
            yield world
        finally:
            await world.close()

    async def _empty(self) -> None:
        # Later it would be a message about rows that are gone, and some are answered by an event.
        await until(self._handled_everything)
        await until(self._without_rows)
        for stream in streams():
            await self._jetstream.purge_stream(stream.name)

    async def _handled_everything(self) -> bool:
        counts = [
            (await self._jetstream.stream_info(stream)).state.messages
            for stream in HANDLED_BY_THE_CATALOG
        ]
        return not any(counts)

    async def _without_rows(self) -> bool:
        """Take all rows away at one moment when no message of theirs is on its way to the bus."""
        tables = [row["tablename"] for row in await self._database.fetch(TABLES)]
        # At the end of one statement no row refers to one that is gone, in whatever order they go;
        # and TRUNCATE takes fifty times as long where there is so little.
        gone = ", ".join(f"{table}_gone AS (DELETE FROM {table})" for table in tables)
        try:
            async with self._database.transaction():
                locked = ", ".join(tables)
                await self._database.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE")
                # The relay deletes a message when the bus has it.
                if await self._database.fetchval(WAITING):
                    return False
                await self._database.execute(f"WITH {gone} SELECT")
        except asyncpg.DeadlockDetectedError:
            return False
        return True


@asynccontextmanager
async def standing_catalog(settings: CatalogSettings) -> AsyncIterator[Standing]:
    """Run a catalog on a provisioned bus and a migrated database that nobody else uses."""
    client = await nats.connect(settings.nats_url)
    database = await asyncpg.connect(settings.database_url)
    try:
        async with running(create_app(settings)) as life:
            yield Standing(settings, life, client.jetstream(), database)
    finally:
        await database.close()
        await client.close()
