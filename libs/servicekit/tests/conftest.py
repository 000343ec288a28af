"""A real server to each test, and a service on it in the test's own process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext

from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts.commands import LoadModel
from mistudio_contracts.subjects import Subject
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import Publisher, create_broker
from mistudio_servicekit.lifecycle import Life
from mistudio_servicekit.settings import ServiceSettings
from mistudio_servicekit.testing import running
from mistudio_testkit.fixtures import provisioned_store
from mistudio_testkit.servers import begin_with

__all__ = ["provisioned_store"]

DEADLINE = 20.0


class Bus:
    """The bus as an operator sees it."""

    def __init__(self, url: str, client: Client) -> None:
        self.url = url
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=10)

    def broker(self, service: str = "catalog") -> NatsBroker:
        return create_broker(ServiceSettings(nats_url=self.url), service)

    def run(
        self, broker: NatsBroker, name: str = "catalog", **hooks: Any
    ) -> AbstractAsyncContextManager[Life]:
        return running(ServiceApp(name, broker, **hooks))

    async def set_limits(self, subject: Subject, **limits: Any) -> None:
        """Change the provisioned consumer of a subject: ``ack_wait``, ``max_deliver``."""
        assert subject.stream
        info = await self.js.consumer_info(subject.stream, subject.durable())
        await self.js.add_consumer(subject.stream, info.config.evolve(**limits))

    async def left(self, stream: str) -> int:
        """Return how many messages a stream holds."""
        return int((await self.js.stream_info(stream)).state.messages)

    async def dead(self, subject: Subject) -> Any:
        """Return the newest dead letter of a subject, waiting for it."""
        await until(lambda: self.left("DEAD"))
        return await self.js.get_last_msg("DEAD", f"dead.{subject.name()}")


async def until(condition: Callable[[], Any], timeout: float = DEADLINE) -> Any:
    """Wait until ``condition`` holds; it may be a coroutine function."""

    async def ask() -> Any:
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)

    return await asyncio.wait_for(ask(), timeout)


async def soon(awaitable: Any, timeout: float = DEADLINE) -> Any:
    """Await with a deadline."""
    return await asyncio.wait_for(awaitable, timeout)


def load(model_id: str = "m_one") -> LoadModel:
    return LoadModel(model_id=model_id)


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with nothing in it."""
    found = NatsServer(tmp_path / "nats")
    found.start()
    yield found
    found.kill()


@pytest.fixture
def server(tmp_path: Path, provisioned_store: Path) -> Iterator[NatsServer]:
    """A provisioned server that the test may kill and start again on the same port and store."""
    found = begin_with(NatsServer(tmp_path / "nats"), provisioned_store)
    found.start()
    yield found
    found.kill()


@pytest_asyncio.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    """A provisioned bus."""

    async def quiet(error: Exception) -> None:
        """Tests break the connection on purpose."""

    client = await nats.connect(
        server.url, error_cb=quiet, max_reconnect_attempts=-1, reconnect_time_wait=0.1
    )
    yield Bus(server.url, client)
    await client.close()


@pytest_asyncio.fixture
async def publisher(bus: Bus) -> AsyncIterator[Publisher]:
    """Publishes as the gateway does."""
    broker = bus.broker("gateway")
    await broker.connect()
    yield Publisher(broker, "gateway")
    await broker.stop()
