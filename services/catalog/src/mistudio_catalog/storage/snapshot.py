"""Every row of every table at one moment, as files; and a database made of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
from alembic.util import CommandError

from mistudio_contracts.errors import InvalidInput, StatusConflict

from . import migrate
from .failures import translated

LEFT_OUT = ("alembic_version", "devices")
"""The schema's revision is told beside the rows; devices tell of themselves."""

STAGED = "mistudio_restoring"
"""The schema that a database is made in; its tables take the place of the empty ones at once."""

CONNECT_SECONDS = 10.0

Tables = dict[str, list[str]]
"""Columns by table."""

_TABLES = """
SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) AS columns
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
GROUP BY table_name ORDER BY table_name
"""
_FOREIGN_KEYS = """
SELECT conrelid::regclass::text AS table_name, conname, pg_get_constraintdef(oid) AS definition
FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
"""
_IDENTITIES = """
SELECT table_name::text, column_name::text FROM information_schema.columns
WHERE table_schema = current_schema() AND is_identity = 'YES'
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_FILLED = ("models", "datasets", "extractions", "stores")


class Snapshot:
    """The database as it was when this began, whatever is written meanwhile."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def revision(self) -> str:
        """Return the schema's revision."""
        return str(await self._connection.fetchval("SELECT version_num FROM alembic_version"))

    async def stores(self) -> list[tuple[str, str]]:
        """Return key and place of every store."""
        rows = await self._connection.fetch("SELECT store_key, storage_path FROM stores")
        return [(row["store_key"], row["storage_path"]) for row in rows]

    async def fingerprints(self, table: str) -> list[str]:
        """Return the fingerprints of all ``models`` or ``datasets``."""
        query = f'SELECT DISTINCT fingerprint FROM "{table}" WHERE fingerprint IS NOT NULL'  # noqa: S608
        return [row["fingerprint"] for row in await self._connection.fetch(query)]

    async def save(self, folder: Path) -> Tables:
        """Write the rows of every table into ``folder``, in the text format of COPY."""
        found = {row["table_name"]: row["columns"] for row in await self._connection.fetch(_TABLES)}
        tables = {name: columns for name, columns in found.items() if name not in LEFT_OUT}
        for name, columns in tables.items():
            target = str(folder / f"{name}.copy")
            await self._connection.copy_from_table(name, columns=columns, output=target)
        return tables


@asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[Snapshot]:
    """Hold the database as it is now.

    Raises
    ------
    ServiceUnavailable
        The database does not answer.
    """
    with translated():
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                # The first statement decides which moment it is.
                await connection.fetchval("SELECT 1")
                yield Snapshot(connection)
        finally:
            await connection.close()


async def require_empty(url: str) -> None:
    """Refuse to restore over what is there, or beneath a catalog that runs.

    Raises
    ------
    StatusConflict
        With ``reason`` ``not_empty`` or ``in_use``.
    ServiceUnavailable
        The database does not answer.
    """
    with translated():
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        try:
            await _require_empty(connection)
            if await connection.fetchval(_OTHERS):
                raise StatusConflict(
                    "Others are connected to the database.",
                    reason="in_use",
                    remedy="Stop the services, with `mistudio down` for instance, then restore.",
                )
        finally:
            await connection.close()


async def _require_empty(connection: Any) -> None:
    for table in _FILLED:
        if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
            continue
        if await connection.fetchval(f'SELECT EXISTS (SELECT FROM "{table}")'):  # noqa: S608
            raise StatusConflict(
                f"There are {table} already; a backup is restored into an empty stack only.",
                reason="not_empty",
                remedy="Name another --data-dir, or another database in DATABASE_URL.",
            )


@asynccontextmanager
async def staged(url: str, revision: str, tables: Tables, folder: Path) -> AsyncIterator[str]:
    """Make a database of saved rows beside the empty one, and put it in its place at the end.

    Yields the URL of what is being made, with today's schema, to be changed before others see it.
    Nothing is visible before the body has ended, and then all of it is.

    Raises
    ------
    InvalidInput
        The rows are of a schema that this release does not know.
    StatusConflict
        As :func:`require_empty`, of what came meanwhile.
    ServiceUnavailable
        The database does not answer.
    """
    apart = _within(url, STAGED)
    with translated():
        await _execute(url, f"DROP SCHEMA IF EXISTS {STAGED} CASCADE", f"CREATE SCHEMA {STAGED}")
        try:
            await asyncio.to_thread(migrate.upgrade, apart, revision)
        except CommandError as error:
            raise InvalidInput(
                f"The backup is of a schema that this release does not know ({revision}).",
                reason="unknown_revision",
                remedy="Restore it with the release that made it, or a later one.",
            ) from error
        await _load(apart, tables, folder)
        await asyncio.to_thread(migrate.upgrade, apart)
    yield apart
    with translated():
        await _put_in_place(url)


async def _load(url: str, tables: Tables, folder: Path) -> None:
    connection: Any = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        async with connection.transaction():
            # Tables refer to each other in a circle: no order of theirs would do.
            keys = await connection.fetch(_FOREIGN_KEYS)
            for key in keys:
                await connection.execute(
                    f'ALTER TABLE {key["table_name"]} DROP CONSTRAINT "{key["conname"]}"'
                )
            for name, columns in tables.items():
                source = str(folder / f"{name}.copy")
                await connection.copy_to_table(name, columns=columns, source=source)
            for key in keys:
                await connection.execute(
                    f'ALTER TABLE {key["table_name"]} ADD CONSTRAINT "{key["conname"]}" '
                    f"{key['definition']}"
                )
            for table, column in await connection.fetch(_IDENTITIES):
                await connection.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "  # noqa: S608
                    f'(SELECT coalesce(max("{column}"), 0) + 1 FROM "{table}"), false)'
                )
    finally:
        await connection.close()


async def _put_in_place(url: str) -> None:
    connection: Any = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        async with connection.transaction():
            present = await connection.fetchval("SELECT quote_ident(current_schema())")
            rows = await connection.fetch(
                "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = $1", STAGED
            )
            names = [row["name"] for row in rows]
            for name in names:
                there = f"{present}.{name}"
                if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", there):
                    await connection.execute(f"LOCK TABLE {there} IN ACCESS EXCLUSIVE MODE")
            # Somebody may have come since it was looked first.
            await _require_empty(connection)
            for name in names:
                await connection.execute(f"DROP TABLE IF EXISTS {present}.{name} CASCADE")
            for name in names:
                await connection.execute(f"ALTER TABLE {STAGED}.{name} SET SCHEMA {present}")
            await connection.execute(f"DROP SCHEMA {STAGED}")
    finally:
        await connection.close()


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def _within(url: str, schema: str) -> str:
    """Return the URL with another schema in front; what libpq does not know is a setting."""
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query), ("search_path", schema)]
    return urlunsplit(parts._replace(query=urlencode(query)))
