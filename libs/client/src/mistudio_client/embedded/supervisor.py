"""supervisord: its configuration, and the conversation with a running one."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import sys
import xml.parsers.expat
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import launcher
from .errors import NotRunning, StackError
from .layout import Layout

SERVICES_GROUP = "services"
SERVERS_GROUP = "servers"
LAUNCH_VARIABLE = "MISTUDIO_LAUNCH"

# A whole stop is to end within ten seconds: services at once, then servers at once, each with
# up to a second of supervisord's own loop.
_STOP_SECONDS = {SERVICES_GROUP: 4, SERVERS_GROUP: 3}

# Paths never appear below, only names relative to the run directory, and the command comes from
# the environment: the format has no way to write a blank followed by a semicolon or a hash.
_HEAD = """\
[supervisord]
nodaemon=true
# Who we are: as root it wants to be told that this is meant.
user={uid}
silent=true
nocleanup=true
identifier=mistudio
logfile=../logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile=supervisord.pid

[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command=%(ENV_{launch})s {name}.json
autostart={autostart}
autorestart=true
startsecs={startsecs}
startretries=100
stopsignal={stopsignal}
stopwaitsecs={stopwaitsecs}
killasgroup=true
redirect_stderr=true
stdout_logfile=../logs/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""

_GROUP = """
[group:{group}]
programs={names}
priority={priority}
"""


def render(layout: Layout, servers: Sequence[tuple[str, str]], services: Sequence[str]) -> str:
    """Return supervisord's configuration.

    Parameters
    ----------
    layout
        Where the stack lives.
    servers
        Name and stop signal of each server; they start at once and stop last.
    services
        Names of the services; they are started when the servers are ready.
    """
    usual = layout.supervisor_socket.parent == layout.run
    control = layout.supervisor_socket.name if usual else layout.supervisor_socket
    parts = [_HEAD.format(uid=os.geteuid(), socket=control)]
    programs = [(name, signal, SERVERS_GROUP) for name, signal in servers]
    programs += [(name, "TERM", SERVICES_GROUP) for name in services]
    for name, signal, group in programs:
        parts.append(
            _PROGRAM.format(
                name=name,
                launch=LAUNCH_VARIABLE,
                autostart=str(group == SERVERS_GROUP).lower(),
                # What ends sooner than this is started again ever more slowly.
                startsecs=1 if group == SERVERS_GROUP else 5,
                stopsignal=signal,
                stopwaitsecs=_STOP_SECONDS[group],
            )
        )
    for group, priority in ((SERVERS_GROUP, 100), (SERVICES_GROUP, 200)):
        names = [name for name, _, of in programs if of == group]
        if names:
            parts.append(_GROUP.format(group=group, names=",".join(names), priority=priority))
    return "".join(parts)


def launch_variable() -> str:
    """Return the value of the variable that begins every program's command."""
    return shlex.join([sys.executable, "-S", "-E", "-s", str(Path(launcher.__file__))])


@dataclass(frozen=True)
class ProgramState:
    """One program as supervisord sees it.

    Parameters
    ----------
    name, group
        Of the program.
    state
        ``RUNNING``, ``STARTING``, ``BACKOFF``, ``FATAL``, ``STOPPED``, ``STOPPING``, ``EXITED``.
    pid
        Process id; 0 when there is none.
    uptime_seconds
        Seconds since the process began.
    """

    name: str
    group: str
    state: str
    pid: int
    uptime_seconds: int


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


class Supervisor:
    """A running supervisord, by its control socket.

    Parameters
    ----------
    path
        The control socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_up(self) -> bool:
        """Tell whether it answers."""
        try:
            self._call("getState")
        except NotRunning:
            return False
        return True

    def programs(self) -> dict[str, ProgramState]:
        """Return every program by its name."""
        found = {}
        for info in self._call("getAllProcessInfo"):
            running = info["pid"] != 0
            found[info["name"]] = ProgramState(
                name=info["name"],
                group=info["group"],
                state=info["statename"],
                pid=info["pid"],
                uptime_seconds=max(0, info["now"] - info["start"]) if running else 0,
            )
        return found

    def start_services(self) -> None:
        """Start all services, without waiting for them."""
        self._call("startProcessGroup", SERVICES_GROUP, False)

    def restart(self, name: str) -> None:
        """Stop a program, wait for its end, and start it again."""
        program = self.programs().get(name)
        if program is None:
            raise StackError(f"The stack has no program {name}.")
        full = f"{program.group}:{name}"
        if program.pid:
            self._call("stopProcess", full, True)
        self._call("startProcess", full, False)

    def shutdown(self) -> None:
        """Ask it to stop everything and end."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        # A connection each: supervisord closes idle ones, and a call is cheap.
        with xmlrpc.client.ServerProxy(
            "http://localhost/RPC2", transport=_UnixTransport(self._path)
        ) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                raise StackError(
                    f"The supervisor refused {method}: {fault.faultString}."
                ) from fault
            except (
                OSError,
                http.client.HTTPException,
                xmlrpc.client.ProtocolError,
                xml.parsers.expat.ExpatError,
            ) as error:
                # The last is an answer cut short: it was killed while it wrote.
                raise NotRunning(
                    "The stack's supervisor does not answer.", remedy="Start it with: mistudio up"
                ) from error
