"""The embedded stack: servers and services of one data directory under one supervisor."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from . import control
from .connection import Connection, read_connection
from .errors import AlreadyRunning, NotRunning, StackError
from .layout import Layout
from .links import AtTheEdge, Link
from .logs import tail
from .plan import SETUP, Plan, Planner, services_of
from .ports import LOOPBACK
from .processes import INSTANCE_VARIABLE, DirectoryLock
from .spawn import spawn
from .startup import Deadline, Progress, Startup
from .supervisor import Supervisor
from .tokens import mint, signing_secret

if TYPE_CHECKING:
    from typing_extensions import Self

_TOKEN_LIFETIME = timedelta(days=365)


def _quiet(_: str) -> None:
    """Show no progress."""


class EmbeddedStack:
    """A whole miStudio on this machine, without containers.

    NATS and Postgres come from installed packages, unless ``NATS_URL`` and ``DATABASE_URL`` in
    the environment name others. Crashed programs are started again; a directory whose stack
    was killed is put in order by the next start.

    Parameters
    ----------
    data_dir
        Directory that keeps everything.
    port
        The gateway's port; 0 for any free one, preferring that of the previous run.
    host
        Where the gateway listens.
    allow
        Directories that local models and datasets may be read from. They are remembered.
    env
        Variables laid over those of this process.
    services
        Which services to run; by default all of the site.
    extractors
        How many extractors run where one would, each a device of its own. They take a GPU each, or
        share the processors and ``GPU_MEMORY_LIMIT_GB``.
    bus_host
        Where NATS listens; an address of this machine lets extractors of others join.
    link
        How the stack is joined to another: a centre runs without loader and extractor, an edge runs
        nothing else.
    commands
        Commands that replace those of services, by name.
    setup
        Steps between servers and services, by name; migration and provisioning by default.
    detach
        Leave the stack running when this process ends. Otherwise it stops with us, however we
        end.
    on_progress
        Told what is being waited for, whenever that changes.

    Examples
    --------
    >>> with EmbeddedStack(tmp_path) as stack:  # doctest: +SKIP
    ...     httpx.get(stack.url + "/health/ready")
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        host: str = LOOPBACK,
        allow: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        services: Sequence[str] | None = None,
        extractors: int = 1,
        bus_host: str = LOOPBACK,
        link: Link | None = None,
        commands: Mapping[str, Sequence[str]] | None = None,
        setup: Mapping[str, Sequence[str]] | None = None,
        detach: bool = False,
        on_progress: Progress = _quiet,
    ) -> None:
        self.layout = Layout.at(data_dir)
        self._environ = {**os.environ, **(env or {})}
        # Inherited from a stack that started us, it would mark our processes as that one's.
        self._environ.pop(INSTANCE_VARIABLE, None)
        self._planner = Planner(
            layout=self.layout,
            host=host,
            port=port,
            allow=tuple(allow),
            environ=self._environ,
            services=tuple(services_of(link) if services is None else services),
            extractors=extractors,
            bus_host=bus_host,
            link=link,
            commands=dict(commands or {}),
            setup=SETUP if setup is None else dict(setup),
        )
        self._link = link
        self._detach = detach
        self._progress = on_progress
        self._plan: Plan | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    def start(self, timeout: float = 60.0) -> Self:
        """Start everything and wait until every service is ready.

        Parameters
        ----------
        timeout
            Seconds after which to give up.

        Raises
        ------
        AlreadyRunning
            Another stack has the data directory.
        PortTaken
            The gateway's port is in use.
        StartFailed
            A program did not become ready; nothing is left running.
        """
        deadline = Deadline(timeout)
        self.layout.create()
        lock = self._lock()
        try:
            control.sweep(self.layout)
            self._plan, servers = self._planner.make()
            spawned = spawn(
                self.layout,
                lock,
                self._plan,
                servers,
                environ=self._environ,
                detach=self._detach,
            )
            self._process, self._lifeline = spawned
            # From here on the supervisor alone holds the directory, and frees it in any death.
            lock.close()
            startup = Startup(self.layout, self._plan, self._process, deadline, self._progress)
            startup.run()
            self._connection().write(self.layout)
        except BaseException:
            if self._process is None:
                # Nobody else can have begun anything here: the lock is still ours.
                control.sweep(self.layout)
                lock.close()
            else:
                lock.close()
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop everything cleanly, by force what takes too long, and make sure it is gone."""
        if self.is_alive():
            control.stop(self.layout)
        elif self._process is not None:
            control.sweep_unless_taken(self.layout)
        self._forget()

    def kill(self) -> None:
        """End everything at once with SIGKILL; the data stays."""
        control.kill(self.layout)
        self._forget()

    @property
    def data_dir(self) -> Path:
        """The one directory that holds everything."""
        return self.layout.root

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self._started().url

    @property
    def token(self) -> str:
        """An access token with every scope."""
        connection = read_connection(self.layout.root)
        if connection is None:
            raise NotRunning("The stack has not been started.")
        return connection.token

    @property
    def nats_url(self) -> str:
        """Address of NATS, with credentials."""
        return self._started().nats_url

    @property
    def database_url(self) -> str:
        """Address of Postgres, with credentials."""
        return self._started().database_url

    @property
    def leaf_url(self) -> str:
        """Where an edge joins, with its name and password; empty where none may."""
        return self._started().leaf_url

    @property
    def supervisor_pid(self) -> int:
        """Process id of the supervisor."""
        if self._process is None:
            raise NotRunning("The stack has not been started.")
        return self._process.pid

    def is_alive(self) -> bool:
        """Tell whether the supervisor runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the supervisor ended, as :attr:`subprocess.Popen.returncode`; None while it runs."""
        return None if self._process is None else self._process.poll()

    def pid(self, service: str) -> int:
        """Return the process id of a service or server, or of ``"supervisor"``.

        Raises
        ------
        NotRunning
            When it has no process now.
        """
        if service == "supervisor":
            return self.supervisor_pid
        program = self._supervisor().programs().get(service)
        if program is None:
            raise StackError(f"The stack has no program {service}.")
        if not program.pid:
            raise NotRunning(f"{service} is {program.state.lower()}.")
        return program.pid

    def restart(self, service: str, timeout: float = 60.0) -> None:
        """Stop one service or server, start it again, and wait until it is ready."""
        plan = self._started()
        self._supervisor().restart(service)
        self._wait(plan, service, timeout)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until every service is ready, as after one of them has crashed."""
        plan = self._started()
        for name in plan.health:
            self._wait(plan, name, timeout)

    def log(self, service: str, lines: int = 10_000) -> str:
        """Return the last lines of a program's log."""
        return tail(self.layout.log(service), lines)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _lock(self) -> DirectoryLock:
        lock = DirectoryLock(self.layout.lock)
        # A supervisor that is just ending may hold it for a moment longer.
        if not lock.acquire(patience=1.0):
            raise self._already_running()
        return lock

    def _already_running(self) -> AlreadyRunning:
        connection = read_connection(self.layout.root)
        process = control.running_supervisor(self.layout)
        number = f", pid {process.pid}" if process else ""
        where = f"already running at {connection.url}" if connection else "being started or stopped"
        return AlreadyRunning(
            f"miStudio is {where}{number} (data directory {self.layout.root}).",
            remedy="Use `mistudio status` or `mistudio down`, or another --data-dir.",
        )

    def _connection(self) -> Connection:
        plan = self._started()
        programs = self._supervisor().programs()
        secret = signing_secret(self.layout, self._environ, create=True)
        return Connection(
            url=plan.url,
            token=mint(secret, expires=_TOKEN_LIFETIME),
            nats_url=plan.nats_url,
            database_url=plan.database_url,
            data_dir=str(self.layout.root),
            pids={
                "supervisor": self.supervisor_pid,
                **{name: program.pid for name, program in programs.items()},
            },
            ports=plan.ports,
            leaf_url=plan.leaf_url,
            centre=self._link.centre if isinstance(self._link, AtTheEdge) else "",
        )

    def _wait(self, plan: Plan, name: str, timeout: float) -> None:
        if self._process is None:
            raise NotRunning("The stack has not been started.")
        startup = Startup(self.layout, plan, self._process, Deadline(timeout), self._progress)
        startup.wait_programs([name])

    def _started(self) -> Plan:
        if self._plan is None:
            raise NotRunning("The stack has not been started.")
        return self._plan

    def _supervisor(self) -> Supervisor:
        return Supervisor(self.layout.supervisor_socket)

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
