"""Decides what a stack consists of: servers, services, ports and environments."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mistudio_contracts.sites import CENTRE

from . import bucket
from .errors import StackError
from .files import read_json, write_json
from .layout import Layout
from .links import AtTheEdge, ForAnEdge, Link
from .ports import LOOPBACK, PortBook, bracketed, reachable, require_free
from .processes import INSTANCE_VARIABLE
from .servers import EmbeddedServer, LaunchSpec, NatsServer, PostgresServer
from .sharing import EXTRACTOR, extractor_names, gpus, shares
from .tokens import signing_secret

SERVICES = ("catalog", "loader", "extractor", "gateway")
MIGRATE = "migrate"
SETUP: Mapping[str, tuple[str, ...]] = {
    MIGRATE: (sys.executable, "-m", "mistudio_catalog", "migrate"),
    "provision": (sys.executable, "-m", "mistudio_servicekit", "provision"),
}


_WORKERS = ("loader", EXTRACTOR)

SIGNING, HUB_TOKEN = "JWT_SECRET_KEY", "HUGGINGFACE_TOKEN"
PRIVATE = frozenset({"DATABASE_URL", SIGNING, HUB_TOKEN})
"""Variables that one service alone is told: whoever else is broken into cannot tell them."""


def services_of(link: Link | None) -> tuple[str, ...]:
    """Return the services of a site: an edge runs the workers, its centre the others."""
    if isinstance(link, AtTheEdge):
        return _WORKERS
    if isinstance(link, ForAnEdge):
        return tuple(name for name in SERVICES if name not in _WORKERS)
    return SERVICES


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
    leaf_url
        Where an edge joins, with its password; empty where none may.
    """

    servers: Sequence[EmbeddedServer]
    services: Sequence[LaunchSpec]
    setup: Sequence[LaunchSpec]
    health: Mapping[str, tuple[str, int]]
    url: str
    nats_url: str
    database_url: str
    ports: Mapping[str, int]
    leaf_url: str


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
    link
        How the stack is joined to another, if it is.
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
    link: Link | None
    commands: Mapping[str, Sequence[str]]
    setup: Mapping[str, Sequence[str]]

    def servers(self) -> list[EmbeddedServer]:
        """Return the servers to embed: those that the environment does not name."""
        found: list[EmbeddedServer] = []
        if not self.environ.get("NATS_URL"):
            found.append(NatsServer(self.layout.root, host=self.bus_host, link=self.link))
        elif self.link is not None:
            raise StackError(
                "NATS_URL names a NATS server, and only one of our own is joined to another site.",
                remedy="Leave NATS_URL out, or join that server by its own configuration.",
            )
        if not self.environ.get("DATABASE_URL") and not self._at_the_edge:
            found.append(PostgresServer(self.layout.root))
        return found

    @property
    def _at_the_edge(self) -> bool:
        return isinstance(self.link, AtTheEdge)

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
        # An edge has none: the centre's catalog keeps what is true.
        database_url = urls.get("postgres") or self.environ.get("DATABASE_URL", "")
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
            setup=[
                self._spec(name, argv, private)
                for name, argv in self.setup.items()
                if not (self._at_the_edge and name == MIGRATE)
            ],
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
            leaf_url=next((each.leaf_url for each in servers if isinstance(each, NatsServer)), ""),
        )
        return plan, specs

    def _own_settings(self) -> dict[str, Mapping[str, str]]:
        """Return what each service is told that the others are not."""
        own: dict[str, Mapping[str, str]] = {}
        for name in self.services:
            if name != EXTRACTOR:
                own[name] = self._secrets_of(name)
                continue
            keys = {k: v for k, v in self.environ.items() if k.startswith(bucket.PREFIX)}
            cores = os.cpu_count() or 1
            parts = shares(self.extractors, self.environ, cores, gpus(self.environ))
            for each, part in zip(extractor_names(self.extractors), parts, strict=True):
                own[each] = {**keys, **part, "DEVICE_ID_FILE": str(self.layout.device_id_of(each))}
        return own

    def _secrets_of(self, name: str) -> Mapping[str, str]:
        if name == "gateway":
            return {SIGNING: signing_secret(self.layout, self.environ, create=True)}
        if name == "loader" and HUB_TOKEN in self.environ:
            return {HUB_TOKEN: self.environ[HUB_TOKEN]}
        return {}

    def _command(self, name: str) -> Sequence[str]:
        kind = EXTRACTOR if name in extractor_names(self.extractors) else name
        return self.commands.get(kind) or (sys.executable, "-m", f"mistudio_{kind}")

    def _gateway_port(self, book: PortBook) -> int:
        if self.port == 0 or "gateway" not in self.services:
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
        # But secrets, each of which is told to those alone who need it.
        inherited = {
            key: value
            for key, value in self.environ.items()
            if key not in PRIVATE and not key.startswith(bucket.PREFIX)
        }
        return {
            **defaults,
            **inherited,
            "NATS_URL": nats_url,
            "LOCAL_ROOTS": os.pathsep.join(self._roots()),
            "HEALTH_HOST": LOOPBACK,
            "GATEWAY_HOST": self.host,
            "GATEWAY_PORT": str(gateway_port),
            "MISTUDIO_DATA_DIR": str(layout.root),
            "PYTHONUNBUFFERED": "1",
            INSTANCE_VARIABLE: layout.instance_id,
            **self._joined(),
        }

    def _joined(self) -> dict[str, str]:
        if isinstance(self.link, ForAnEdge):
            return {"MISTUDIO_EDGE": self.link.name}
        return {"MISTUDIO_CENTRE": CENTRE} if self._at_the_edge else {}

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
