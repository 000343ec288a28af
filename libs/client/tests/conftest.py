"""A gateway process on a real bus, with a catalog of the tests' own behind it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from mistudio_client import Client
from mistudio_client.cli.app import app
from mistudio_client.embedded.processes import wait_until
from mistudio_contracts.states import Scope
from mistudio_servicekit.auth import issue_token
from mistudio_servicekit.provision import provision
from mistudio_testkit.servers import nats_server

from .fake_catalog import FakeCatalog
from .stores import write_store


@dataclass(frozen=True)
class Site:
    """A running service, seen from outside, and the catalog behind it."""

    url: str
    token: str
    catalog: FakeCatalog
    store: Path


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    store = write_store(root / "store")
    secret = secrets.token_hex(32)
    token = issue_token(secret, "tests", list(Scope), timedelta(hours=1))
    with nats_server(root / "nats") as nats_url:
        asyncio.run(provision(nats_url, ("default",)))
        catalog = FakeCatalog(nats_url, store)
        catalog.start()
        url = f"http://127.0.0.1:{free_port()}"
        environment = {
            **os.environ,
            "NATS_URL": nats_url,
            "JWT_SECRET_KEY": secret,
            "GATEWAY_PORT": url.rpartition(":")[2],
            "LOG_LEVEL": "WARNING",
        }
        gateway = subprocess.Popen([sys.executable, "-m", "mistudio_gateway"], env=environment)
        try:
            assert wait_until(lambda: is_ready(url), 60)
            yield Site(url, token, catalog, store)
        finally:
            gateway.terminate()
            gateway.wait(20)
            catalog.stop()


@pytest.fixture
def site(running_site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The site with an empty catalog that lets everything run through, named by nothing."""
    for name in ("MISTUDIO_URL", "MISTUDIO_TOKEN", "MISTUDIO_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    running_site.catalog.reset()
    yield running_site
    running_site.catalog.release()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with Client(site.url, site.token, timeout=20) as opened:
        yield opened


@pytest.fixture
def mistudio(site: Site) -> Callable[..., Result]:
    """Run the command in this process, against the site."""
    runner = CliRunner()

    def run(*arguments: str, input: str | None = None) -> Result:
        named = ["--url", site.url, "--token", site.token, *arguments]
        return runner.invoke(app, named, input=input, env={"COLUMNS": "200"})

    return run


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_ready(url: str) -> bool:
    """Whether the gateway at ``url`` serves."""
    try:
        return httpx.get(f"{url}/health/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False
