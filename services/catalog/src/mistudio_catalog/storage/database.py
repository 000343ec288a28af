"""The pool of connections, and transactions that commit state and messages together."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from pydantic_core import from_json, to_json

from mistudio_catalog.domain.changes import Changes
from mistudio_catalog.domain.deeds import DONE, present
from mistudio_catalog.domain.outgoing import Outgoing
from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.rpc import CancelWork
from mistudio_servicekit.tracing import traceparent

from .audit import AuditTable
from .caches import CacheTable
from .datasets import DatasetTable
from .devices import DeviceTable
from .extractions import ExtractionTable, ShardTable
from .failures import translated
from .figures import Figures
from .ledger import LedgerTables
from .models import ModelTable
from .outbox import OutboxTable
from .removals import RemovalTable
from .stores import StoreTables
from .turns import TurnTable

log = logging.getLogger(__name__)

ACQUIRE_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
POOL_MOST = 20
PLANNING = {"plan_cache_mode": "force_custom_plan", "random_page_cost": "1.1"}
"""Filters that are not given fold away only in a plan for the very values; and with the default
cost, which is that of a spinning disk, a page of a list reads and sorts the whole table."""
NOTICES = "mistudio_outbox"


def _encode(value: Any) -> str:
    # Not-a-number has no JSON; a preview of somebody's data may hold it.
    return to_json(value, inf_nan_mode="null").decode()


async def prepare(connection: Any) -> None:
    """Let a connection read and write JSON columns as Python values."""
    await connection.set_type_codec("json", schema="pg_catalog", encoder=_encode, decoder=from_json)


async def _as_it_is(_: object) -> None:
    """Keep a connection that comes back to the pool.

    Nobody here leaves anything on its session, be it locks, cursors or settings; asking the server
    to discard them would be one more way there and back for each use. An open transaction is ended
    before this is called.
    """


class Transaction:
    """The tables, on one connection."""

    def __init__(self, connection: Any) -> None:
        self.changes = Changes()
        self.audit = AuditTable(connection)
        self.models = ModelTable(connection, self.changes)
        self.datasets = DatasetTable(connection)
        self.extractions = ExtractionTable(connection, self.changes)
        self.shards = ShardTable(connection)
        self.stores = StoreTables(connection)
        self.caches = CacheTable(connection)
        self.devices = DeviceTable(connection)
        self.turns = TurnTable(connection)
        self.ledger = LedgerTables(connection)
        self.removals = RemovalTable(connection)
        self.outbox = OutboxTable(connection)
        self.figures = Figures(connection)
        self.sent = False

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages when this commits, within the present trace.

        Tasks they cancel are remembered as void.
        """
        if not messages:
            return
        for message in messages:
            if isinstance(message.payload, CancelWork):
                await self._void(message.payload, message.pool)
        await self.outbox.send(messages, traceparent())
        self.sent = True

    async def _void(self, cancel: CancelWork, pool: str) -> None:
        await self.ledger.void_tasks(cancel.task_ids, pool, utcnow())


class OutboxLine:
    """A connection of the relay's own, which hears of every commit that sent messages."""

    def __init__(self, connection: Any) -> None:
        self.outbox = OutboxTable(connection)
        self._told: Callable[[], None] = lambda: None

    def on_notice(self, told: Callable[[], None]) -> None:
        """Call ``told`` at each notice."""
        self._told = told

    def notice(self, *_: object) -> None:
        self._told()


class Database:
    """A pool of connections to Postgres.

    Parameters
    ----------
    url
        A ``postgresql://`` URL, as libpq takes it.
    most
        Connections at most.

    Attributes
    ----------
    on_commit
        Called after each commit that sent messages.
    on_change
        Called after each commit, with what it did to statuses.
    on_acquired
        Called with the seconds that a connection was waited for.
    """

    def __init__(self, url: str, most: int = POOL_MOST) -> None:
        self.url = url
        self._most = most
        self._pool: Any = None
        self.on_commit: Callable[[], None] = lambda: None
        self.on_change: Callable[[Changes], None] = lambda _: None
        self.on_acquired: Callable[[float], None] = lambda _: None

    async def open(self) -> None:
        """Connect.

        Raises
        ------
        ServiceUnavailable
            The database does not answer.
        """
        with translated():
            self._pool = await asyncpg.create_pool(
                self.url,
                min_size=1,
                max_size=self._most,
                init=prepare,
                reset=_as_it_is,
                command_timeout=STATEMENT_SECONDS,
                timeout=ACQUIRE_SECONDS,
                server_settings=PLANNING,
            )

    async def close(self) -> None:
        """Close every connection; those in use first come back."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def answers(self) -> bool:
        """Return whether the database answers and has the schema."""
        async with self._connection() as connection:
            return bool(await connection.fetchval("SELECT to_regclass('outbox') IS NOT NULL"))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commit everything or nothing, and with it who did it, where that is to be written down.

        Raises
        ------
        ServiceUnavailable
            The database does not answer, or a rival transaction went first.
        InvalidInput
            A value cannot be stored.
        """
        async with self._connection() as connection:
            async with connection.transaction():
                tables = Transaction(connection)
                yield tables
                deed = present()
                if deed is not None and not deed.written:
                    await tables.audit.add(deed, DONE, utcnow())
            if deed is not None:
                deed.written = True
            if tables.sent:
                self.on_commit()
            self.on_change(tables.changes)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Read, one statement at a time, without a transaction around them."""
        async with self._connection() as connection:
            yield Transaction(connection)

    def connections(self) -> tuple[int, int, int]:
        """Return how many connections are idle, how many in use, and how many there may be.

        Raises
        ------
        ServiceUnavailable
            It is not open.
        """
        pool = self._opened()
        idle = int(pool.get_idle_size())
        return idle, int(pool.get_size()) - idle, self._most

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        pool = self._opened()
        with translated():
            asked = time.perf_counter()
            async with pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                self.on_acquired(time.perf_counter() - asked)
                yield connection

    def _opened(self) -> Any:
        if self._pool is None:
            raise ServiceUnavailable(
                "The database is not connected.", reason="database_unavailable"
            )
        return self._pool

    @asynccontextmanager
    async def outbox_line(self) -> AsyncIterator[OutboxLine]:
        """Hold a connection outside the pool: for the relay's lock, and to hear of commits.

        Raises
        ------
        ServiceUnavailable
            The database does not answer, or the connection broke.
        """
        with translated():
            connection = await asyncpg.connect(
                self.url, timeout=ACQUIRE_SECONDS, command_timeout=STATEMENT_SECONDS
            )
            try:
                await prepare(connection)
                line = OutboxLine(connection)
                await connection.add_listener(NOTICES, line.notice)
                yield line
            finally:
                # Closing gives the lock back; a relay that ends must not wait for it long.
                await connection.close(timeout=1.0)
