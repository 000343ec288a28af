"""Addresses to listen on, and ports of them that stay the same from run to run."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .errors import PortTaken, StackError
from .files import read_json, write_json

# Below every system's range for outgoing connections: a client that keeps trying to reconnect
# to a port in that range can be handed the same port as its source, connect to itself, and so
# keep the restarted server from binding.
_RANGE = range(15000, 32000)

LOOPBACK = "127.0.0.1"
EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - for comparisons; nothing is bound


def bracketed(host: str) -> str:
    """Return ``host`` as a URL wants it."""
    return f"[{host}]" if ":" in host else host


def reachable(host: str) -> str:
    """Return where a client of this machine finds what listens on ``host``."""
    return LOOPBACK if host in EVERYWHERE else host


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Tell whether a server could listen on ``host:port`` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def owner(port: int) -> str | None:
    """Describe the process that listens on ``port``, or return None when it cannot be seen."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or connection.pid is None:
            continue
        if connection.laddr and connection.laddr.port == port:
            try:
                return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None


def require_free(port: int, host: str) -> None:
    """Raise :class:`PortTaken` unless ``host:port`` can be listened on."""
    if is_free(port, host):
        return
    holder = owner(port)
    if port < 1024 and holder is None:
        message = f"Port {port} on {host} cannot be listened on by this user."
    else:
        message = f"Port {port} on {host} is in use by {holder or 'another process'}."
    raise PortTaken(message, remedy="Choose another with --port, or --port 0 for any free one.")


@dataclass
class PortBook:
    """Ports by name, kept in a file so that a later run can have the same.

    Parameters
    ----------
    path
        The file that remembers them.
    """

    path: Path
    _claimed: dict[str, int] = field(default_factory=dict)

    def claim(self, name: str, host: str = LOOPBACK) -> int:
        """Return a free port for ``name``: the one of the previous run where possible."""
        remembered = {key: int(value) for key, value in read_json(self.path).items()}
        previous = remembered.get(name)
        if previous is not None and is_free(previous, host):
            port = previous
        else:
            taken = set(remembered.values()) | set(self._claimed.values())
            port = _any_free(host, taken)
        self._claimed[name] = port
        write_json(self.path, remembered | self._claimed)
        return port

    def remembered(self, name: str) -> int | None:
        """Return the port that ``name`` had in the last run."""
        value = read_json(self.path).get(name)
        return None if value is None else int(value)

    def fix(self, name: str, port: int) -> int:
        """Record ``port`` as the one chosen for ``name``."""
        self._claimed[name] = port
        write_json(self.path, read_json(self.path) | self._claimed)
        return port


def _any_free(host: str, taken: set[int]) -> int:
    for port in random.SystemRandom().sample(_RANGE, 500):
        if port not in taken and is_free(port, host):
            return port
    raise StackError(
        f"No free port was found on {host}.", remedy="End programs that hold many ports."
    )
