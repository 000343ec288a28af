"""A catalog on a real bus and a real database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.storage import migrate
from mistudio_catalog.storage.database import Database
from mistudio_servicekit.provision import provision
from mistudio_testkit.fixtures import database_url, nats_url, postgres_url, provisioned_store
from mistudio_testkit.servers import nats_server

from .standing import Standing, standing_catalog
from .support import World, open_database, running_world

__all__ = ["database_url", "nats_url", "postgres_url", "provisioned_store"]

TEMPLATE = "catalog_template"


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@pytest_asyncio.fixture(scope="session")
async def template(postgres_url: str) -> str:
    """The name of a migrated, empty database, to copy."""
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f'CREATE DATABASE "{TEMPLATE}"')
    await admin.close()
    # Alembic's environment runs a loop of its own.
    await asyncio.to_thread(migrate.upgrade, _named(postgres_url, TEMPLATE))
    return TEMPLATE


@asynccontextmanager
async def _copied(postgres_url: str, template: str) -> AsyncIterator[str]:
    """Make a migrated, empty database, and drop it afterwards."""
    name = f"catalog_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield _named(postgres_url, name)
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest_asyncio.fixture
async def catalog_url(postgres_url: str, template: str) -> AsyncIterator[str]:
    """A migrated, empty database of the test's own."""
    async with _copied(postgres_url, template) as url:
        yield url


@pytest_asyncio.fixture
async def database(catalog_url: str) -> AsyncIterator[Database]:
    """The catalog's storage, open."""
    async with open_database(catalog_url) as opened:
        yield opened


def _settings(database_url: str, nats_url: str) -> CatalogSettings:
    return CatalogSettings(
        database_url=database_url,
        nats_url=nats_url,
        health_port=0,
        load_requests_per_hour=1000,
        inspect_seconds=5.0,
    )


@pytest.fixture
def settings(catalog_url: str, nats_url: str) -> CatalogSettings:
    """Settings of a catalog of the test's own."""
    return _settings(catalog_url, nats_url)


@asynccontextmanager
async def _servers(
    postgres_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, str]]:
    """Yield the URLs of an empty database and of a provisioned bus."""
    async with _copied(postgres_url, template) as url:
        with nats_server(tmp_path_factory.mktemp("nats")) as bus:
            await provision(bus, ("default",))
            yield url, bus


@pytest_asyncio.fixture
async def own_world(settings: CatalogSettings) -> AsyncIterator[World]:
    """A catalog of the test's own, with the test in the place of everybody else."""
    async with running_world(settings) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session")
async def standing(
    postgres_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Standing]:
    """The catalog of all tests that begin with an empty one."""
    async with (
        _servers(postgres_url, template, tmp_path_factory) as (url, bus),
        standing_catalog(_settings(url, bus)) as opened,
    ):
        yield opened


@pytest_asyncio.fixture
async def world(standing: Standing) -> AsyncIterator[World]:
    """An empty catalog, with the test in the place of everybody else."""
    async with standing.world() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module")
async def shared_world(
    postgres_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A running catalog for all tests of a file that keep to rows and actors of their own."""
    async with (
        _servers(postgres_url, template, tmp_path_factory) as (url, bus),
        running_world(CatalogSettings(database_url=url, nats_url=bus)) as opened,
    ):
        yield opened
