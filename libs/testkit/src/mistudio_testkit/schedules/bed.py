"""A whole stack that is there to be broken: servers, services, and a cable between each two."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import jwt
import psutil

from mistudio_client.embedded.health import http_ok
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import postgres_processes, wait_until
from mistudio_client.embedded.servers import PostgresServer
from mistudio_client.embedded.tokens import ALL_SCOPES, AUDIENCE, ISSUER
from mistudio_contracts.base import utcnow
from mistudio_servicekit.provision import provision
from mistudio_testkit.cable import Cable
from mistudio_testkit.faults import hurry
from mistudio_testkit.nursery import Nursery

from .buses import Bus
from .clocks import Clocks
from .draw import BUS, DATABASE, LINKS, SERVICES

if TYPE_CHECKING:
    from typing_extensions import Self

MIB = 1024 * 1024
DISK = 48 * MIB
"""Of the stores, and of the artifacts."""

READY_SECONDS = 60.0
ACK_WAIT = 1.0

SETTINGS = {
    "LOAD_REQUESTS_PER_HOUR": "1000000",
    "MAX_ACTIVE_EXTRACTIONS": "8",
    "MAX_CONCURRENT_LOADS": "3",
    "SHARD_TOKENS": "250",
    "WORK_SILENCE_SECONDS": "1.5",
    "DEVICE_SILENCE_SECONDS": "7",
    "RECONCILE_SECONDS": "1",
    "LOAD_STALL_SECONDS": "20",
    "DISK_REPORT_SECONDS": "2",
    "KERNEL_CHECK_DELAY_SECONDS": "3600",
    "DISK_RESERVE_BYTES": "0",
    "LOG_LEVEL": "INFO",
}
"""Impatient, so that what waits for a while waits for a second."""

_KINDS = {"extractor": "extractor", "extractor2": "extractor"}


class Bed:
    """One stack for many schedules.

    Parameters
    ----------
    home
        Where everything lies.
    root
        The directory that models are registered from.
    nodes
        Of the bus: one server, or a cluster of three.

    Attributes
    ----------
    cables
        By who connects and to what.
    """

    def __init__(self, home: Path, root: Path, nodes: int = 1) -> None:
        self.home, self.root, self.nodes = home, root, nodes
        self.postgres = PostgresServer(home, port=PortBook(home / "ports.json").claim(DATABASE))
        self.bus = Bus(home, nodes)
        self.cables: dict[tuple[str, str], list[Cable]] = {}
        self.clocks = Clocks(home / "clocks", SERVICES)
        self._secret = secrets.token_hex(32)
        self._down: set[str] = set()
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            layout = self.postgres.layout.create()
            opened.callback(self.postgres.remove)
            opened.enter_context(self.postgres)
            opened.enter_context(self.bus)
            for link in LINKS:
                ports = self.bus.ports if link[1] == BUS else [self.postgres.port]
                self.cables[link] = [opened.enter_context(Cable(port)) for port in ports]
            book = PortBook(layout.ports)
            self.ports = {name: book.claim(f"health_{name}") for name in SERVICES}
            disks = {layout.activations: DISK, layout.models: DISK}
            kinds = sorted({_kind(name) for name in SERVICES})
            env = {**os.environ, **self._environment(), **self.clocks.environment}
            self.nursery = opened.enter_context(Nursery(kinds, self.home / "services", env, disks))
            self._migrate()
            self.provision()
            for name in SERVICES:
                self.start(name)
            self.wait_ready()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def token(self) -> str:
        """An access token that no jump of a clock makes invalid."""
        now, years = utcnow(), timedelta(days=3650)
        claims = {
            "sub": "tests",
            "scopes": list(ALL_SCOPES),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now - years,
            "nbf": now - years,
            "exp": now + years,
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def nats_urls(self, who: str) -> list[str]:
        """Where somebody finds the bus: at the ends of cables of their own."""
        urls = self.bus.urls
        cables = self.cables[who, BUS]
        return [
            url.rpartition(":")[0] + f":{cable.port}"
            for url, cable in zip(urls, cables, strict=True)
        ]

    def start(self, name: str) -> None:
        """Start a service."""
        self._down.discard(name)
        self.nursery.begin(_kind(name), name, env=self._own(name))

    def kill(self, name: str) -> None:
        """End a service with SIGKILL; nobody starts it until :meth:`start` does."""
        self._down.add(name)
        if self.nursery.alive(name):
            self.nursery.kill(name)

    def supervise(self) -> list[str]:
        """Start what has ended by itself, as a supervisor does; return its names."""
        ended = [
            name for name in SERVICES if name not in self._down and not self.nursery.alive(name)
        ]
        for name in ended:
            self.start(name)
        return ended

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the processes of a service or a server, its children included."""
        if name == DATABASE and self.postgres.cluster is not None:
            return postgres_processes(self.postgres.cluster)
        pid = self.bus.pid if name == BUS else self.nursery.pids.get(name)
        if pid is None or not psutil.pid_exists(pid):
            return []
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]

    def provision(self) -> None:
        """Make streams and consumers that are missing, as an operator does."""
        replicas = self.nodes if self.nodes > 1 else None
        asyncio.run(provision(",".join(self.bus.urls), ("default",), replicas=replicas))
        hurry(self.bus.urls, ACK_WAIT)

    def is_ready(self) -> bool:
        """Tell whether every service says that it is."""
        return all(http_ok(port, "/health/ready") for port in self.ports.values())

    def wait_ready(self) -> None:
        """Wait until every service is ready, starting those that end.

        Raises
        ------
        TimeoutError
            One of them does not become ready.
        """

        def ready() -> bool:
            self.supervise()
            return self.is_ready()

        if not wait_until(ready, READY_SECONDS, poll=0.1):
            missing = [n for n, port in self.ports.items() if not http_ok(port, "/health/ready")]
            raise TimeoutError(f"not ready again: {missing}")

    def _environment(self) -> dict[str, str]:
        layout = self.postgres.layout
        return {
            **SETTINGS,
            "LOCAL_ROOTS": str(self.root),
            "MODEL_CACHE_DIR": str(layout.models),
            "DATASET_CACHE_DIR": str(layout.datasets),
            "ACTIVATION_CACHE_DIR": str(layout.activations),
            "HEALTH_HOST": "127.0.0.1",
            "JWT_SECRET_KEY": self._secret,
            "MISTUDIO_DATA_DIR": str(layout.root),
        }

    def _own(self, name: str) -> Mapping[str, str]:
        own = {
            "NATS_URL": ",".join(self.nats_urls(name)),
            "HEALTH_PORT": str(self.ports[name]),
            "GATEWAY_PORT": str(self.ports[name]),
            **self.clocks.of(name),
        }
        if name == "catalog":
            (cable,) = self.cables["catalog", DATABASE]
            url = self.postgres.url.replace(f":{self.postgres.port}/", f":{cable.port}/")
            own["DATABASE_URL"] = url
        return own

    def _migrate(self) -> None:
        from mistudio_catalog.storage import migrate

        migrate.upgrade(self.postgres.url)


def _kind(name: str) -> str:
    return _KINDS.get(name, name)
