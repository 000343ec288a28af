"""Decides what a stack consists of: servers, services, ports and environments."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import bucket
from .errors import StackError
from .files import read_json, write_json
from .layout import Layout
from .ports import LOOPBACK, PortBook, bracketed, reachable, require_free
from .processes import INSTANCE_VARIABLE
from .servers import EmbeddedServer, LaunchSpec, NatsServer, PostgresServer
from .sharing import EXTRACTOR, extractor_names, gpus, shares
from .tokens import signing_secret

SERVICES = ("catalog", "loader", "extractor", "gateway")
SETUP: Mapping[str, tuple[str, ...]] = {
    "migrate": (sys.executable, "-m", "mistudio_catalog", "migrate"),
    "provision": (sys.executable, "-m", "mistudio_servicekit", "provision"),
}


@dataclass(frozen=True)
class Plan:
    """Everything that one start of the stack is going to run.

    Parameters
    ----------
    servers
        Embedded servers; empty when both are given by the environment.
    services
        Launch specification of each service, in order.
    setup
        Steps to run once between servers and services.
    health
        Host and port of each service's ``/health/ready``.
    url, nats_url, database_url
        Addresses.
    ports
        Every port chosen, by purpose.
    """

    servers: Sequence[EmbeddedServer]
    services: Sequence[LaunchSpec]
    setup: Sequence[LaunchSpec]
    health: Mapping[str, tuple[str, int]]
    url: str
    nats_url: str
    database_url: str
    ports: Mapping[str, int]


@dataclass(frozen=True)
class Planner:
    """Turns the choices of a start into a :class:`Plan`.

    Parameters
    ----------
    layout
        Where the stack lives; its directories exist.
    host, port
        Where the gateway listens; port 0 for any free one.
    allow
        Directories that local models and datasets may be read from; they are remembered.
    environ
        The environment that services inherit.
    services
        Names of the services to run.
    extractors
        How many extractors run where one would; they share the machine.
    bus_host
        Where an embedded NATS listens.
    commands
        Commands that replace those of services, by name.
    setup
        Commands of the set-up steps, by name.
    """

    layout: Layout
    host: str
    port: int
    allow: Sequence[Path]
    environ: Mapping[str, str]
    services: Sequence[str]
    extractors: int
    bus_host: str
    commands: Mapping[str, Sequence[str]]
    setup: Mapping[str, Sequence[str]]

    def servers(self) -> list[EmbeddedServer]:
        """Return the servers to embed: those that the environment does not name."""
        found: list[EmbeddedServer] = []
        if not self.environ.get("NATS_URL"):
            found.append(NatsServer(self.layout.root, host=self.bus_host))
        if not self.environ.get("DATABASE_URL"):
            found.append(PostgresServer(self.layout.root))
        return found

    def make(self) -> tuple[Plan, list[LaunchSpec]]:
        """Return the plan, and the launch specifications of its servers."""
        url = bucket.bucket_of(self.environ)
        if url is not None:
            bucket.require_bucket(url, self.environ)
        book = PortBook(self.layout.ports)
        gateway_port = self._gateway_port(book)
        servers = self.servers()
        specs = [server.prepare() for server in servers]
        urls = {server.name: server.url for server in servers}
        nats_url = urls.get("nats") or self.environ["NATS_URL"]
        database_url = urls.get("postgres") or self.environ["DATABASE_URL"]
        own = self._own_settings()
        health = {name: book.claim(f"health_{name}") for name in own}
        base = self._environment(nats_url, gateway_port)
        # Migrations are the catalog's; nobody else is told where the database is.
        private = {**base, "DATABASE_URL": database_url}
        services = [
            self._spec(
                name,
                self._command(name),
                {
                    **(private if name == "catalog" else base),
                    "HEALTH_PORT": str(health[name]),
                    **settings,
                },
            )
            for name, settings in own.items()
        ]
        plan = Plan(
            servers=servers,
            services=services,
            setup=[self._spec(name, argv, private) for name, argv in self.setup.items()],
            health={
                name: (reachable(self.host), gateway_port)
                if name == "gateway"
                else (LOOPBACK, port)
                for name, port in health.items()
            },
            url=f"http://{bracketed(reachable(self.host))}:{gateway_port}",
            nats_url=nats_url,
            database_url=database_url,
            ports={
                "gateway": gateway_port,
                **{server.name: server.port for server in servers},
                **{f"health_{name}": port for name, port in health.items()},
            },
        )
        return plan, specs

    def _own_settings(self) -> dict[str, Mapping[str, str]]:
        """Return what each service is told that the others are not."""
        own: dict[str, Mapping[str, str]] = {}
        for name in self.services:
            if name != EXTRACTOR:
                own[name] = {}
                continue
            keys = {k: v for k, v in self.environ.items() if k.startswith(bucket.PREFIX)}
            cores = os.cpu_count() or 1
            parts = shares(self.extractors, self.environ, cores, gpus(self.environ))
            for each, part in zip(extractor_names(self.extractors), parts, strict=True):
                own[each] = {**keys, **part, "DEVICE_ID_FILE": str(self.layout.device_id_of(each))}
        return own

    def _command(self, name: str) -> Sequence[str]:
        kind = EXTRACTOR if name in extractor_names(self.extractors) else name
        return self.commands.get(kind) or (sys.executable, "-m", f"mistudio_{kind}")

    def _gateway_port(self, book: PortBook) -> int:
        if self.port == 0:
            return book.claim("gateway", self.host)
        require_free(self.port, self.host)
        return book.fix("gateway", self.port)

    def _environment(self, nats_url: str, gateway_port: int) -> dict[str, str]:
        layout = self.layout
        # The names that a user may set; everything else of the environment is passed on too,
        # because proxies, certificates, CUDA and Hugging Face are configured there.
        pool = self.environ.get("MISTUDIO_POOL", "default")
        defaults = {
            "MISTUDIO_POOL": pool,
            # What is provisioned: all pools of the installation, of which this machine is one.
            "MISTUDIO_POOLS": pool,
            "MODEL_CACHE_DIR": str(layout.models),
            "DATASET_CACHE_DIR": str(layout.datasets),
            "ACTIVATION_CACHE_DIR": str(layout.activations),
            "ACTIVATION_SCRATCH_DIR": str(layout.scratch),
            "LOG_LEVEL": "INFO",
        }
        # But who may use the stores' bucket, which the extractors alone are told.
        inherited = {
            key: value
            for key, value in self.environ.items()
            if key != "DATABASE_URL" and not key.startswith(bucket.PREFIX)
        }
        return {
            **defaults,
            **inherited,
            "NATS_URL": nats_url,
            "LOCAL_ROOTS": os.pathsep.join(self._roots()),
            "HEALTH_HOST": LOOPBACK,
            "GATEWAY_HOST": self.host,
            "GATEWAY_PORT": str(gateway_port),
            "JWT_SECRET_KEY": signing_secret(layout, self.environ, create=True),
            "MISTUDIO_DATA_DIR": str(layout.root),
            "PYTHONUNBUFFERED": "1",
            INSTANCE_VARIABLE: layout.instance_id,
        }

    def _roots(self) -> list[str]:
        settings = read_json(self.layout.settings)
        remembered = settings.get("local_roots", [str(self.layout.imports)])
        roots = list(dict.fromkeys([*remembered, *(str(path.resolve()) for path in self.allow)]))
        for path in self.allow:
            if not path.is_dir():
                raise StackError(
                    f"The allowed directory {path} does not exist.",
                    remedy="Create it, or name another with --allow.",
                )
        for root in roots:
            if os.pathsep in root:
                raise StackError(
                    f"The directory {root} has {os.pathsep!r} in its name, which separates roots.",
                    remedy="Choose a directory whose path has none.",
                )
        write_json(self.layout.settings, settings | {"local_roots": roots})
        return roots

    def _spec(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> LaunchSpec:
        return LaunchSpec(name=name, argv=list(argv), env=env, cwd=self.layout.root)
