"""Shared pytest fixtures: ``from mistudio_testkit.fixtures import *`` in a conftest."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from mistudio_activations import MANIFEST_SCHEMA, Manifest
from mistudio_client.embedded.servers import NatsServer

from .models import make_model
from .s3 import S3Server
from .servers import nats_server, postgres_server

__all__ = [
    "database_url",
    "empty_nats_url",
    "manifests_follow_their_schema",
    "nats_url",
    "postgres_url",
    "provisioned_store",
    "s3_server",
    "tiny_model",
]


@pytest.fixture(autouse=True)
def manifests_follow_their_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare every manifest that a test writes with the schema in ``contracts/``."""
    written, schema = Manifest.to_json, Draft202012Validator(MANIFEST_SCHEMA)

    def checked(manifest: Manifest) -> bytes:
        content = written(manifest)
        schema.validate(json.loads(content))
        return content

    monkeypatch.setattr(Manifest, "to_json", checked)


@pytest.fixture(scope="session")
def empty_nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A NATS server with JetStream and nothing in it."""
    with nats_server(tmp_path_factory.mktemp("nats")) as url:
        yield url


@pytest_asyncio.fixture(scope="session")
async def provisioned_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an embedded NATS server keeps once every stream and consumer was provisioned."""
    from mistudio_servicekit.provision import provision

    with NatsServer(tmp_path_factory.mktemp("provisioned")) as server:
        await provision(server.url, ("default",))
    return server.layout.nats


@pytest_asyncio.fixture
async def nats_url(tmp_path: Path, provisioned_store: Path) -> AsyncIterator[str]:
    """A fresh NATS server of the test's own, with every stream and consumer provisioned."""
    from mistudio_servicekit.provision import provision

    with nats_server(tmp_path / "nats", provisioned_store) as url:
        # Changes nothing of what an embedded server has from the beginning.
        await provision(url, ("default",))
        yield url


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Postgres server for the whole run."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for the whole run; whoever stops one needs one of their own."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest_asyncio.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """An empty database of the test's own."""
    import asyncpg

    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        parts = urlsplit(postgres_url)
        yield urlunsplit(parts._replace(path=f"/{name}"))
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a family's name to the directory of its tiny model, made once."""
    made: dict[str, Path] = {}

    def get(family: str = "gpt2") -> Path:
        if family not in made:
            made[family] = make_model(tmp_path_factory.mktemp("models") / family, family)
        return made[family]

    return get
