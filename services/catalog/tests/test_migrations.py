"""The schema goes up, down and up again, and asking twice changes nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import asyncpg

from mistudio_catalog.storage import migrate
from mistudio_catalog.storage.database import Database
from mistudio_contracts.values import ResidencyWish


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
    finally:
        await connection.close()
    return {row["table_name"] for row in rows}


async def test_up_down_up(database_url: str) -> None:
    await asyncio.to_thread(migrate.upgrade, database_url)
    there = await tables(database_url)
    assert {"models", "datasets", "extractions", "activation_caches", "outbox"} <= there
    await asyncio.to_thread(migrate.downgrade, database_url, "base")
    assert await tables(database_url) == {"alembic_version"}
    await asyncio.to_thread(migrate.upgrade, database_url)
    assert await tables(database_url) == there


FILL = """
INSERT INTO models (
    id, pool, name, source, model_identifier, quantization, status, phase, progress,
    told_progress, config, fingerprint, artifact_quantization, artifact_dtype, heard_at,
    created_at, updated_at
) VALUES
    ('m_old', 'default', 'old', 'local', '/old', 'fp16', 'ready', 'idle', 100, 100, '{}',
        repeat('a', 32), 'fp16', 'float16', NULL, now(), now()),
    ('m_new', 'default', 'new', 'local', '/new', 'none', 'loading', 'preparing', 7, 7, '{}',
        NULL, NULL, NULL, now(), now(), now())
"""
FILL_DEVICE = """
INSERT INTO devices VALUES
    ('dev_one', 'default', 'cpu', 'one', true, 8, 6, 0, 0, '[]', 0, 0, now(), now(), now())
"""


async def test_rows_of_before_keep_what_they_mean_up_and_down(database_url: str) -> None:
    await asyncio.to_thread(migrate.upgrade, database_url, "0001")
    connection = await asyncpg.connect(database_url)
    await connection.execute(FILL)
    await connection.execute(FILL_DEVICE)
    before = await connection.fetch("SELECT * FROM models ORDER BY id")
    await connection.close()

    await asyncio.to_thread(migrate.upgrade, database_url)
    opened = Database(database_url)
    await opened.open()
    async with opened.reading() as tx:
        new, old = await tx.models.get("m_new"), await tx.models.get("m_old")
        (device,) = await tx.devices.all()
    await opened.close()
    assert old is not None
    assert new is not None
    assert old.artifact is not None, "its files are still of the format asked for"
    assert (old.wish, old.force) == (ResidencyWish(), False)
    assert new.progressed_at == new.heard_at, "a load under way is not stalled at once"
    assert (device.unavailable_formats, device.memory_free_bytes) == ({}, None)

    await asyncio.to_thread(migrate.downgrade, database_url, "0001")
    connection = await asyncpg.connect(database_url)
    assert await connection.fetch("SELECT * FROM models ORDER BY id") == before
    await connection.close()
    await asyncio.to_thread(migrate.downgrade, database_url, "base")


async def test_replicas_that_migrate_together_do_not_hinder_each_other(database_url: str) -> None:
    command = [sys.executable, "-m", "mistudio_catalog", "migrate"]
    env = {"DATABASE_URL": database_url, "PATH": ""}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=60, check=False
        )

    both = await asyncio.gather(asyncio.to_thread(run), asyncio.to_thread(run))
    assert [ran.returncode for ran in both] == [0, 0], both
    assert "models" in await tables(database_url)


async def test_the_command_line_takes_the_schema_back(database_url: str) -> None:
    from mistudio_catalog.__main__ import main

    def run(*arguments: str) -> None:
        import os

        os.environ["DATABASE_URL"] = database_url
        try:
            main(list(arguments))
        finally:
            del os.environ["DATABASE_URL"]

    await asyncio.to_thread(run, "migrate")
    assert "models" in await tables(database_url)
    await asyncio.to_thread(run, "migrate", "--down", "base")
    assert await tables(database_url) == {"alembic_version"}
