"""The schema goes up, down and up again, and asking twice changes nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import asyncpg

from mistudio_catalog.storage import migrate


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
