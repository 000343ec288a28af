"""A service as a process: pages, signals, exit status."""

import asyncio
import contextlib
import json
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.js.errors import NotFoundError

from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts import subjects
from mistudio_servicekit.bus import Publisher

from .conftest import Bus, load, soon, until

SERVICE = """
import asyncio, sys, time
from pathlib import Path
from mistudio_contracts import subjects
from mistudio_servicekit import logs
from mistudio_servicekit.app import ServiceApp, run
from mistudio_servicekit.bus import create_broker
from mistudio_servicekit.consume import consume
from mistudio_servicekit.settings import ServiceSettings

here = Path(sys.argv[1])
settings = ServiceSettings()
logs.configure("catalog", "INFO")
broker = create_broker(settings, "catalog")

async def handle(payload, delivery):
    (here / "handling").touch()
    if payload.model_id == "m_thread":
        await asyncio.to_thread(time.sleep, 600)
    if payload.model_id == "m_for_ever":
        await asyncio.Event().wait()

async def fail():
    raise KeyError("the database is away")

async def touch():
    (here / "stopped").touch()

async def checked():
    return not (here / "unready").exists()

consume(broker, subjects.MODEL_LOAD, handle)
app = ServiceApp("catalog", broker, on_stop=[touch], ready={"database": checked})
if (here / "fail").exists():
    app.on_start.append(fail)
run(app, settings)
"""


class Service:
    """The process, its log and its pages."""

    def __init__(self, process: asyncio.subprocess.Process, here: Path) -> None:
        self.process = process
        self.here = here
        self.lines: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))

    async def logged(self, message: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((line for line in self.lines if message in line["message"]), None)

        line: dict[str, Any] = await until(found)
        return line

    async def page(self, path: str) -> httpx.Response:
        port = (await self.logged("Health page."))["port"]
        async with httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{port}{path}")

    async def ended(self) -> int:
        status: int = await soon(self.process.wait())
        await soon(self._reading)
        return status


@contextlib.asynccontextmanager
async def service(url: str, here: Path, **environment: str) -> AsyncIterator[Service]:
    script = here / "service.py"
    script.write_text(textwrap.dedent(SERVICE))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(here),
        env={"NATS_URL": url, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Service(process, here)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_pages_of_a_running_service(bus: Bus, tmp_path: Path) -> None:
    async with service(bus.url, tmp_path) as running:
        await running.logged("Started.")
        assert (await running.page("/health/live")).status_code == 200
        ready = await running.page("/health/ready")
        assert ready.status_code == 200
        assert ready.json() == {
            "ready": True,
            "checks": {"started": True, "nats": True, "consumers": True, "database": True},
        }
        metrics = await running.page("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "process_cpu_seconds_total" in metrics.text
        assert (await running.page("/elsewhere")).status_code == 404

        (tmp_path / "unready").touch()
        unready = await running.page("/health/ready")
        assert unready.status_code == 503
        assert unready.json()["checks"]["database"] is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(
    bus: Bus, tmp_path: Path, number: signal.Signals
) -> None:
    async with service(bus.url, tmp_path) as running:
        await running.logged("Started.")
        running.process.send_signal(number)
        assert await running.ended() == 0
        assert (tmp_path / "stopped").exists()
        await running.logged("Stopped.")


@pytest.mark.parametrize("model_id", ["m_for_ever", "m_thread"])
async def test_a_busy_handler_does_not_keep_it(
    bus: Bus, publisher: Publisher, tmp_path: Path, model_id: str
) -> None:
    await bus.set_limits(subjects.MODEL_LOAD, ack_wait=300.0)
    async with service(bus.url, tmp_path) as running:
        await publisher.publish(subjects.MODEL_LOAD, load(model_id), entity_id=model_id)
        await until((tmp_path / "handling").exists)
        running.process.terminate()
        assert await running.ended() == 0
    assert await bus.left("COMMANDS") == 1
    again = await (
        await bus.js.pull_subscribe_bind(subjects.MODEL_LOAD.durable(), "COMMANDS")
    ).fetch(1, timeout=10)
    assert again[0].metadata.num_delivered == 2, "given back, not left to time out"


async def test_a_signal_while_it_waits_for_the_bus_ends_it(tmp_path: Path) -> None:
    async with service("nats://127.0.0.1:1", tmp_path) as running:
        live = await running.page("/health/live")
        assert live.status_code == 200, "it lives, and says that it is not ready"
        assert (await running.page("/health/ready")).status_code == 503
        running.process.terminate()
        assert await running.ended() == 0


async def test_a_start_that_fails_ends_it_with_a_reason(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    async with service(bus.url, tmp_path) as running:
        assert await running.ended() == 1
        assert "the database is away" in (await running.logged("Leaving"))["exc_info"]
        assert (tmp_path / "stopped").exists()


@pytest.mark.faults
async def test_a_deleted_consumer_ends_it(bus: Bus, tmp_path: Path) -> None:
    async with service(bus.url, tmp_path) as running:
        await running.logged("Started.")
        await bus.js.delete_consumer("COMMANDS", subjects.MODEL_LOAD.durable())
        assert await running.ended() == 1
        assert "provision" in (await running.logged("Leaving"))["message"]
        with pytest.raises(NotFoundError):
            await bus.js.consumer_info("COMMANDS", subjects.MODEL_LOAD.durable())


@pytest.mark.faults
async def test_it_lives_through_a_server_that_is_killed(
    bus: Bus, publisher: Publisher, server: NatsServer, tmp_path: Path
) -> None:
    async with service(bus.url, tmp_path) as running:
        await running.logged("Started.")
        server.kill()
        await until(lambda: _answers(running, 503))
        server.start()
        await until(lambda: _answers(running, 200))
        await publisher.publish(subjects.MODEL_LOAD, load(), entity_id="m_one")
        await until((tmp_path / "handling").exists)
        assert running.process.returncode is None


async def test_a_taken_port_is_said(bus: Bus, tmp_path: Path) -> None:
    async with service(bus.url, tmp_path) as running:
        port = (await running.logged("Health page."))["port"]
        async with service(bus.url, tmp_path, HEALTH_PORT=str(port)) as second:
            assert await second.ended() == 1
            await second.logged("health page cannot be served")


async def _answers(running: Service, status: int) -> bool:
    return (await running.page("/health/ready")).status_code == status
