"""Looks at and ends a stack that some process, perhaps another one, has started."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from .connection import read_connection
from .errors import NotRunning, StackError
from .health import http_ok
from .layout import Layout
from .ports import PortBook
from .processes import (
    KILL,
    DirectoryLock,
    end,
    end_instance,
    end_postgres,
    instance_processes,
    is_alive,
    supervisor_process,
    wait_until,
)
from .servers import NatsServer, PostgresServer
from .supervisor import Supervisor


@dataclass(frozen=True)
class ServiceStatus:
    """One program of a running stack.

    Parameters
    ----------
    name
        Of the program.
    state
        supervisord's word for it, such as ``RUNNING``; what is ready runs, though supervisord calls
        it ``STARTING`` for some seconds more.
    pid
        Process id, or None.
    uptime_seconds
        Seconds since the process began, or None.
    ready
        Whether it says that it can work.
    port
        Where it listens, or None when unknown.
    """

    name: str
    state: str
    pid: int | None
    uptime_seconds: int | None
    ready: bool
    port: int | None


@dataclass(frozen=True)
class StackStatus:
    """A stack at one moment; ``pid`` is its supervisor's, None when it does not run."""

    data_dir: str
    pid: int | None
    url: str | None
    services: tuple[ServiceStatus, ...]

    @property
    def running(self) -> bool:
        """Whether a supervisor lives."""
        return self.pid is not None

    @property
    def ready(self) -> bool:
        """Whether every program is ready."""
        return bool(self.services) and all(service.ready for service in self.services)


def running_supervisor(layout: Layout) -> psutil.Process | None:
    """Return the supervisor of the stack on ``layout``, or None."""
    if not layout.pid_file.exists():
        return None
    return supervisor_process(layout.pid_file, layout.instance_id)


def status(layout: Layout) -> StackStatus:
    """Return how the stack on ``layout`` is doing."""
    process = running_supervisor(layout)
    connection = read_connection(layout.root)
    if process is None:
        return StackStatus(str(layout.root), None, None, ())
    try:
        programs = Supervisor(layout.supervisor_socket).programs()
    except NotRunning:
        programs = {}
    book = PortBook(layout.ports)
    services = []
    for name, program in programs.items():
        probe, port = _readiness(layout, name, book, connection.url if connection else None)
        ready = program.pid != 0 and probe()
        early = ready and program.state == "STARTING"
        services.append(
            ServiceStatus(
                name=name,
                state="RUNNING" if early else program.state,
                pid=program.pid or None,
                uptime_seconds=program.uptime_seconds if program.pid else None,
                ready=ready,
                port=port,
            )
        )
    url = connection.url if connection else None
    return StackStatus(str(layout.root), process.pid, url, tuple(services))


def _readiness(
    layout: Layout, name: str, book: PortBook, url: str | None
) -> tuple[Callable[[], bool], int | None]:
    if name == "nats":
        nats = NatsServer(layout.root)
        return nats.is_ready, nats.port
    if name == "postgres":
        postgres = PostgresServer(layout.root)
        return postgres.is_ready, postgres.port
    gateway = name == "gateway"
    port = book.remembered("gateway" if gateway else f"health_{name}")
    host = (urlsplit(url).hostname if gateway and url else None) or "127.0.0.1"
    if port is None:
        return lambda: False, None
    return lambda: http_ok(port, "/health/ready", host), port


def stop(layout: Layout, patience: float = 10.0) -> bool:
    """Stop the stack on ``layout``, and whatever an earlier one has left there.

    Parameters
    ----------
    layout
        Where the stack lives.
    patience
        Seconds that the supervisor has for a clean stop.

    Returns
    -------
    bool
        Whether a supervisor was running.

    Raises
    ------
    StackError
        When a process is left after all.
    """
    if not layout.run.exists():
        return False
    process = running_supervisor(layout)
    if process is not None:
        try:
            Supervisor(layout.supervisor_socket).shutdown()
        except NotRunning:
            end([process], [(signal.SIGTERM, 0.0)])
        if not wait_until(lambda: not is_alive(process), patience):
            end([process], [KILL])
    sweep_unless_taken(layout)
    return process is not None


def sweep_unless_taken(layout: Layout) -> None:
    """Call :func:`sweep`, unless another process is starting a stack there and does so itself."""
    lock = DirectoryLock(layout.lock)
    if lock.acquire(patience=1.0):
        try:
            sweep(layout)
        finally:
            lock.close()


def kill(layout: Layout) -> None:
    """End the stack on ``layout`` by force, at once."""
    process = running_supervisor(layout)
    if process is not None:
        end([process], [KILL])
    end(instance_processes(layout.instance_id), [KILL])
    sweep_unless_taken(layout)


def sweep(layout: Layout, patience: float = 3.0) -> None:
    """End the processes and remove the files that a stack has left; its data stays.

    The caller holds the directory's lock.
    """
    left = []
    cluster = PostgresServer(layout.root).cluster
    if cluster is not None:
        left += end_postgres(cluster, patience)
    left += end_instance(layout.instance_id, patience)
    if left:
        raise StackError(
            f"Processes of the stack do not end: {sorted({process.pid for process in left})}.",
            remedy="End them by hand, then try again.",
        )
    for path in (layout.connection, layout.pid_file):
        path.unlink(missing_ok=True)
    layout.close_socket_directory()
    if cluster is not None:
        # Stale, it makes Postgres refuse to start once its number belongs to another program.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
