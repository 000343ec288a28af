"""Keep the database of a release for the tests of migrations: run it when one is published.

A catalog is driven through everything it keeps rows of, with stand-ins for the workers, and what
Postgres then holds is written to ``services/catalog/tests/releases/<version>.sql``. What is there
already stays: it is what users of that release have.

    python deploy/dev/keep_database.py 0.1.0
"""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.storage import migrate
from mistudio_client.embedded.servers import PostgresServer
from mistudio_contracts import commands, rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_servicekit.provision import provision
from mistudio_testkit.bus import until
from mistudio_testkit.servers import nats_server

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
support: Any = importlib.import_module("services.catalog.tests.support")
"""The tests' own stand-ins for everybody but the catalog."""

RELEASES = ROOT / "services" / "catalog" / "tests" / "releases"

_BY_HAND = """
INSERT INTO removals VALUES ('dataset', 'dddddddddddddddddddddddddddddddd', 'default');
INSERT INTO outbox (subject, pool, entity_id, payload, parked_because)
VALUES ('model.registered', 'default', 'm_gone', '{}', 'the bus does not take it');
INSERT INTO model_turns SELECT id, pool, true, now() FROM models WHERE status = 'ready';
"""
"""What a catalog keeps for moments only."""


async def _fill(settings: CatalogSettings) -> None:
    async with support.running_world(settings) as world:
        await world.heartbeat({}, budget=20_000_000)
        loaded = await world.ready_model("loaded", pinned=True, quantization="int4")
        await world.unloaded_model("left")
        await world.register("pending")
        await _cancelled(world)
        dataset = await world.ready_dataset()
        other = await world.ready_dataset("other")
        await world.extract(loaded.id, dataset.id, [0, -1], 3)
        await _evicted(world, loaded.id, other.id)
        await _under_way(world, loaded.id, other.id)
        await _by_the_bus(world, loaded.id)


async def _cancelled(world: Any) -> None:
    model = await world.register("cancelled", idempotency_key="of-a-client")
    await world.load(model.id)
    await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    cancel = rpc.CancelLoadRequest(model_id=model.id)
    await world.ask(subjects.RPC_MODEL_LOAD_CANCEL, cancel, views.Model)


async def _evicted(world: Any, model_id: str, dataset_id: str) -> None:
    done = await world.extract(model_id, dataset_id, [2], 1, dtype="float16")
    evict = rpc.EvictCacheRequest(cache_id=done.cache_id or "")
    await world.ask(subjects.RPC_CACHE_EVICT, evict, rpc.Done)
    await world.order(subjects.WORK_EVICT_STORE, w.EvictStore)


async def _under_way(world: Any, model_id: str, dataset_id: str) -> None:
    accepted = await world.request(model_id, dataset_id, [1])
    await world.plan(3)
    await world.capture()
    await world.event(subjects.EXTRACTION_SHARD_COMPLETED, extraction_id=accepted.extraction_id)


async def _by_the_bus(world: Any, model_id: str) -> None:
    command = commands.LoadModel(model_id=model_id)
    message = await world.publish(subjects.MODEL_LOAD, command)
    await until(lambda: _handled(world.settings.database_url, message))


async def _handled(url: str, message: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT EXISTS (SELECT FROM inbox WHERE message_id = $1)"
        return bool(await connection.fetchval(query, message))
    finally:
        await connection.close()


async def _finish(url: str) -> list[str]:
    """Add what is kept for moments only, and return the tables that have no row all the same."""
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute(_BY_HAND)
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        empty = []
        for name in sorted(row["table_name"] for row in tables):
            if not await connection.fetchval(f'SELECT count(*) FROM "{name}"'):  # noqa: S608
                empty.append(name)
        return empty
    finally:
        await connection.close()


def _dump(server: PostgresServer) -> str:
    url = urlsplit(server.url)
    done = subprocess.run(
        [
            str(server.programs / "pg_dump"),
            "--inserts",
            "--no-owner",
            "--no-privileges",
            server.url,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    # Lines that begin so are psql's own, and comments name the machine's versions.
    kept = [line for line in done.stdout.splitlines() if line and not line.startswith(("\\", "--"))]
    text = "\n".join(kept) + "\n"
    if url.password and url.password in text:
        raise RuntimeError("the dump holds the password of the server it comes from")
    return text


def main() -> None:
    """Write the file, unless it is there."""
    (version,) = sys.argv[1:]
    target = RELEASES / f"{version}.sql"
    if target.exists():
        raise SystemExit(f"{target} is there, and is not made anew: it is what was released.")
    with tempfile.TemporaryDirectory() as scratch:
        server = PostgresServer(Path(scratch) / "postgres")
        server.start()
        try:
            with nats_server(Path(scratch) / "nats") as nats_url:
                migrate.upgrade(server.url)
                asyncio.run(provision(nats_url, ("default",)))
                settings = CatalogSettings(
                    database_url=server.url,
                    nats_url=nats_url,
                    health_port=0,
                    load_requests_per_hour=1000,
                )
                asyncio.run(_fill(settings))
            empty = asyncio.run(_finish(server.url))
            if empty:
                raise SystemExit(f"nothing was kept in {', '.join(empty)}")
            RELEASES.mkdir(exist_ok=True)
            target.write_text(_dump(server), encoding="utf-8")
        finally:
            server.stop()
            server.remove()


if __name__ == "__main__":
    main()
