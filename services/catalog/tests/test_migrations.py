"""The schema goes up, down and up again, and asking twice changes nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mistudio_catalog.storage import migrate
from mistudio_contracts.values import ResidencyWish

from .support import open_database

RELEASES = sorted((Path(__file__).parent / "releases").glob("*.sql"))
"""What releases have left in databases, as ``deploy/dev/keep_database.py`` writes it."""

Content = dict[str, list[dict[str, Any]]]


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
    async with open_database(database_url) as opened, opened.reading() as tx:
        new, old = await tx.models.get("m_new"), await tx.models.get("m_old")
        (device,) = await tx.devices.all()
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


async def content(url: str) -> Content:
    """Return every row of every table, in an order of their own."""
    names = await tables(url)
    connection = await asyncpg.connect(url)
    try:
        found: Content = {}
        for name in sorted(names):
            rows = await connection.fetch(f'SELECT * FROM "{name}"')
            found[name] = sorted((dict(row) for row in rows), key=repr)
        return found
    finally:
        await connection.close()


def restricted(rows: list[dict[str, Any]], to: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the columns alone that those of before have too."""
    names = to[0].keys() & rows[0].keys()
    return sorted(({key: row[key] for key in to[0] if key in names} for row in rows), key=repr)


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
async def test_what_a_release_has_left_goes_up_and_down_and_up_with_every_row(
    database_url: str, release: Path
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(await asyncio.to_thread(release.read_text, "utf-8"))
    await connection.close()
    before = await content(database_url)
    assert all(before.values()), "each table that the release had has a row"
    ((revision,),) = (row.values() for row in before["alembic_version"])

    await asyncio.to_thread(migrate.upgrade, database_url)
    up = await content(database_url)
    for name in before.keys() - {"alembic_version"}:
        assert restricted(up[name], before[name]) == restricted(before[name], up[name]), name
    await everything_is_read(database_url, before)

    await asyncio.to_thread(migrate.downgrade, database_url, revision)
    assert await content(database_url) == before
    await asyncio.to_thread(migrate.upgrade, database_url)
    assert await content(database_url) == up


async def everything_is_read(url: str, before: Content) -> None:
    """Read what the catalog reads of it, with the code of today."""
    async with open_database(url) as database, database.reading() as tx:
        for row in before["models"]:
            assert (await tx.models.get(row["id"])) is not None
        for row in before["datasets"]:
            assert (await tx.datasets.get(row["id"])) is not None
        for row in before["extractions"]:
            assert (await tx.extractions.get(row["id"])) is not None
        for row in before["activation_caches"]:
            cache = await tx.caches.get(row["id"])
            assert cache is not None
            assert await tx.caches.columns(cache.id)
        assert len(await tx.devices.all()) == len(before["devices"])
        assert len(await tx.stores.evictions_to_order()) <= len(before["store_evictions"])
