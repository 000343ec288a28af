"""The limits of requests hold over every gateway together, and for each user by himself."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
import uvicorn

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.factory import create_app as create_catalog
from mistudio_catalog.storage import migrate
from mistudio_contracts.states import Scope
from mistudio_gateway.config import GatewaySettings
from mistudio_gateway.factory import create_app as create_gateway
from mistudio_gateway.main import server_options
from mistudio_servicekit.auth import issue_token
from mistudio_servicekit.testing import running
from mistudio_testkit.fixtures import database_url, nats_url, postgres_url

__all__ = ["database_url", "nats_url", "postgres_url"]

SECRET = "a secret that is long enough for HS256"
LOADS = 3
HOUR = timedelta(hours=1)


@asynccontextmanager
async def gateway(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run a gateway on a port of its own; yield a client of it once it can serve."""
    settings = GatewaySettings(jwt_secret_key=SECRET, nats_url=url, web_dir=None)
    server = uvicorn.Server(uvicorn.Config(create_gateway(settings), **server_options()))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=address, timeout=30) as client:
                while not (await client.get("/health/ready")).is_success:
                    assert not serving.done()
                yield client
        finally:
            server.should_exit = True
            await serving


@pytest_asyncio.fixture
async def doors(nats_url: str, database_url: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Two gateways before one catalog, which takes few loads an hour."""
    await asyncio.to_thread(migrate.upgrade, database_url)
    settings = CatalogSettings(
        database_url=database_url, nats_url=nats_url, load_requests_per_hour=LOADS
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(create_catalog(settings)))
        yield [await stack.enter_async_context(gateway(nats_url)) for _ in range(2)]


@pytest.mark.nightly("two gateways and a catalog")
async def test_one_users_loads_are_counted_over_both_gateways(
    doors: list[httpx.AsyncClient],
) -> None:
    tokens = {
        name: {"Authorization": f"Bearer {issue_token(SECRET, name, [Scope.WRITE], HOUR)}"}
        for name in ("ada", "bob")
    }

    async def register(number: int) -> str:
        body = {"name": f"m{number}", "source": "huggingface", "model_identifier": f"o/m{number}"}
        answer = await doors[number % 2].post("/api/models", json=body, headers=tokens["ada"])
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    models = await asyncio.gather(*(register(number) for number in range(2 * LOADS + 2)))

    async def load(door: int, user: str, model: str) -> httpx.Response:
        return await doors[door].post(f"/api/models/{model}/load", headers=tokens[user])

    # All at once, through both doors: neither lets in more than what the other has left.
    answers = await asyncio.gather(
        *(load(number % 2, "ada", model) for number, model in enumerate(models))
    )
    assert Counter(each.status_code for each in answers) == {200: LOADS, 429: len(models) - LOADS}
    refused = next(each for each in answers if each.status_code == 429)
    error = refused.json()["error"]
    assert (error["code"], error["details"]["reason"]) == ("RATE_LIMITED", "loads_per_hour")
    assert error["details"]["limit"] == LOADS
    assert 3000 < int(refused.headers["Retry-After"]) <= 3601

    # What ada has used up is hers alone.
    waiting = [m for m, each in zip(models, answers, strict=True) if each.status_code == 429]
    answers = [await load(number % 2, "bob", model) for number, model in enumerate(waiting)]
    assert [each.status_code for each in answers[: LOADS + 1]] == [*[200] * LOADS, 429]
    for door in (0, 1):
        assert (await load(door, "ada", waiting[-1])).status_code == 429
