"""The bus under test: one NATS server, or a cluster of three."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mistudio_client.embedded.files import write_private
from mistudio_client.embedded.health import http_ok
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import wait_until
from mistudio_client.embedded.servers import NatsServer

from .draw import BUS

if TYPE_CHECKING:
    from typing_extensions import Self

ELECTION_SECONDS = 30.0

_CLUSTER = """
cluster {{
  name: mistudio
  listen: "127.0.0.1:{port}"
  # Clients keep to the cables that they were given.
  no_advertise: true
  routes: {routes}
}}
"""


class Node(NatsServer):
    """A server of a cluster on this machine.

    Parameters
    ----------
    home
        Its own.
    port
        For clients.
    route, routes
        The port for the other servers, and the ports of all.
    """

    def __init__(self, home: Path, port: int, route: int, routes: Sequence[int]) -> None:
        super().__init__(home, port=port)
        self._route, self._routes = route, routes

    def is_ready(self) -> bool:
        """Tell whether it runs; whether it has a leader is up to the others too."""
        return http_ok(self.monitor_port, "/varz")

    def leads_or_follows(self) -> bool:
        """Tell whether the cluster has a leader, as far as this server knows."""
        return http_ok(self.monitor_port, "/healthz?js-server-only=true")

    def _leafnodes(self) -> str:
        routes = [f"nats-route://127.0.0.1:{port}" for port in self._routes if port != self._route]
        return _CLUSTER.format(port=self._route, routes=json.dumps(routes))


class Bus:
    """A server, or several that keep each message on most of them at least.

    Parameters
    ----------
    home
        Where each has its directory.
    nodes
        How many.
    """

    def __init__(self, home: Path, nodes: int = 1) -> None:
        self.servers: list[NatsServer] = [_alone(home)] if nodes == 1 else _cluster(home, nodes)
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            for server in self.servers:
                opened.enter_context(server)
            for server in self.servers:
                if isinstance(server, Node) and not wait_until(
                    server.leads_or_follows, ELECTION_SECONDS, poll=0.1
                ):
                    raise TimeoutError("the cluster has found no leader")
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
    def ports(self) -> list[int]:
        return [server.port for server in self.servers]

    @property
    def urls(self) -> list[str]:
        """Addresses of the servers themselves, with credentials."""
        return [server.url for server in self.servers]

    @property
    def pid(self) -> int | None:
        """Of the only server."""
        (server,) = self.servers
        return server.pid

    def lose(self, number: int = 0) -> None:
        """Take away what a killed server has kept."""
        shutil.rmtree(self.servers[number].layout.nats)
        self.servers[number].layout.nats.mkdir()


def _alone(home: Path) -> NatsServer:
    return NatsServer(home, port=PortBook(home / "ports.json").claim(BUS))


def _cluster(home: Path, nodes: int) -> list[NatsServer]:
    book = PortBook(home / "ports.json")
    routes = [book.claim(f"route_{number}") for number in range(nodes)]
    found: list[NatsServer] = []
    for number in range(nodes):
        port = book.claim(f"{BUS}_{number}")
        node = Node(home / f"node-{number}", port, routes[number], routes)
        node.layout.create()
        if found:
            # One password for all: clients try one address after another.
            secret = found[0].layout.secret("nats-password")
            write_private(node.layout.secrets / "nats-password", secret)
        found.append(node)
    return found
