"""Run the migrations over asyncpg, one process at a time."""

from __future__ import annotations

import asyncio

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Two replicas that start together both migrate; the second then finds nothing to do.
_LOCK = 7_310_001


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        context.run_migrations()


async def _online(url: str) -> None:
    # asyncpg reads the URL itself, so whatever it takes when serving it takes here.
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
        await connection.commit()
    await engine.dispose()


url = context.config.get_main_option("database_url")
if url is None:
    raise RuntimeError("the migrations need a database_url")
asyncio.run(_online(url))
