"""The catalog as a process: its health pages, its end, and a database that comes and goes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.storage import migrate
from mistudio_client.embedded.servers import PostgresServer
from mistudio_contracts import rpc, subjects
from mistudio_contracts.errors import ServiceUnavailable

from .support import PATIENCE, running_world


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(settings: CatalogSettings, port: int) -> Iterator[subprocess.Popen[str]]:
    env = {
        **os.environ,
        "NATS_URL": settings.nats_url,
        "DATABASE_URL": settings.database_url,
        "HEALTH_PORT": str(port),
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "mistudio_catalog"], env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def loaded(process: subprocess.Popen[str], library: str) -> bool:
    """Tell whether a process has a library in its memory."""
    return library in Path(f"/proc/{process.pid}/maps").read_text()


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until_page(port: int, path: str, status: int) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found, body = page(port, path)
        if found == status:
            return body
    raise AssertionError(f"{path} does not answer {status}: {page(port, path)}")


async def test_it_gets_ready_shows_its_metrics_and_ends_in_order(
    settings: CatalogSettings,
) -> None:
    port = free_port()
    with process(settings, port) as catalog:
        assert json.loads(until_page(port, "/health/ready", 200))
        assert "mistudio_catalog_outbox_messages" in page(port, "/metrics")[1]
        assert loaded(catalog, "uvloop"), "asyncio's own loop leaves the heap in pieces"
        catalog.terminate()
        assert catalog.wait(timeout=10) == 0


async def test_it_is_not_ready_without_its_schema(
    settings: CatalogSettings, database_url: str
) -> None:
    port = free_port()
    bare = settings.model_copy(update={"database_url": database_url})
    with process(bare, port):
        until_page(port, "/health/ready", 503)
        assert page(port, "/health/live")[0] == 200


def test_nothing_heavy_is_imported_to_serve() -> None:
    code = (
        "import sys, mistudio_catalog.__main__, mistudio_catalog.factory; "
        "heavy = {'torch', 'transformers', 'numpy', 'alembic', 'sqlalchemy', 'pandas'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == "[]"


async def test_it_outlives_a_database_that_was_killed(nats_url: str, tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "pg")
    server.start()
    try:
        await asyncio.to_thread(migrate.upgrade, server.url)
        settings = CatalogSettings(database_url=server.url, nats_url=nats_url)
        async with running_world(settings) as world:
            model = await world.register()
            await world.load(model.id)
            await world.prepare()
            await world.event(subjects.MODEL_PREPARED)
            await asyncio.to_thread(server.kill)
            error = await world.refusal(
                subjects.RPC_MODEL_GET, rpc.GetModelRequest(model_id=model.id)
            )
            assert isinstance(error, ServiceUnavailable)
            await world.place()
            await asyncio.to_thread(server.start)
            await world.event(subjects.MODEL_READY, model_id=model.id)
            assert (await world.model(model.id)).status == "ready"
    finally:
        await asyncio.to_thread(server.stop)
