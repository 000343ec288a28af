"""The steps between a started supervisor and a stack that is ready."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from .errors import NotRunning, StartFailed
from .health import http_ok
from .layout import Layout
from .logs import tail
from .plan import Plan
from .servers import LaunchSpec
from .supervisor import ProgramState, Supervisor

Progress = Callable[[str], None]
Check = Callable[[], bool]

_TAIL_LINES = 30
_ENDS_BEFORE_GIVING_UP = 3


class Deadline:
    """A point in time by which the stack is to be ready."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that remain, never negative."""
        return max(0.0, self._at - time.monotonic())


class Startup:
    """Brings the programs of a plan up, one after the other.

    Parameters
    ----------
    layout
        Where the stack lives.
    plan
        What to start.
    process
        The supervisor's process.
    deadline
        When to give up.
    progress
        Told what is being waited for, whenever that changes.
    """

    def __init__(
        self,
        layout: Layout,
        plan: Plan,
        process: subprocess.Popen[bytes],
        deadline: Deadline,
        progress: Progress,
    ) -> None:
        self._layout = layout
        self._plan = plan
        self._process = process
        self._deadline = deadline
        self._progress = progress
        self._shown = ""
        self._supervisor = Supervisor(layout.supervisor_socket)
        self._pause = threading.Event()

    def run(self) -> None:
        """Start everything and return when all of it is ready."""
        self._wait_for_supervisor()
        self.wait_programs(server.name for server in self._plan.servers)
        self._run_setup()
        if self._plan.services:
            self._supervisor.start_services()
        self.wait_programs(self._plan.health)

    def wait_programs(self, names: Iterable[str]) -> None:
        """Wait until the services or servers ``names`` are ready."""
        self._wait_ready({name: self._check(name) for name in names})

    def _check(self, name: str) -> Check:
        for server in self._plan.servers:
            if server.name == name:
                return server.is_ready
        host, port = self._plan.health[name]
        return lambda: http_ok(port, "/health/ready", host)

    def _wait_for_supervisor(self) -> None:
        self._show("supervisor")
        while not self._supervisor.is_up():
            self._check_supervisor()
            if not self._deadline.left:
                raise self._failed("supervisord", "did not answer in time")
            self._pause.wait(0.02)

    def _wait_ready(self, checks: dict[str, Check]) -> None:
        pending = dict(checks)
        seen: dict[str, set[int]] = defaultdict(set)
        while pending:
            self._show(", ".join(pending))
            self._check_supervisor()
            programs = self._programs()
            for name in list(pending):
                program = programs.get(name)
                if program is None or not program.pid:
                    if program is not None and program.state == "FATAL":
                        raise self._failed(name, "cannot be started")
                    continue
                seen[name].add(program.pid)
                if len(seen[name]) > _ENDS_BEFORE_GIVING_UP:
                    raise self._failed(name, "keeps ending")
                if pending[name]():
                    del pending[name]
            if pending and not self._deadline.left:
                raise self._failed(next(iter(pending)), "was not ready in time")
            if pending:
                self._pause.wait(0.05)

    def _run_setup(self) -> None:
        if not self._plan.setup:
            return
        self._show(", ".join(step.name for step in self._plan.setup))
        with ExitStack() as running:
            processes = [
                (step, running.enter_context(self._begin(step))) for step in self._plan.setup
            ]
            try:
                for step, process in processes:
                    self._finish(step, process)
            except BaseException:
                for _, process in processes:
                    process.kill()
                raise

    def _begin(self, step: LaunchSpec) -> subprocess.Popen[bytes]:
        with self._layout.log(step.name).open("wb") as log:
            return subprocess.Popen(
                list(step.argv),
                env=dict(step.env),
                cwd=step.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _finish(self, step: LaunchSpec, process: subprocess.Popen[bytes]) -> None:
        try:
            code = process.wait(self._deadline.left)
        except subprocess.TimeoutExpired:
            raise self._failed(step.name, "did not finish in time") from None
        if code != 0:
            raise self._failed(step.name, f"failed with exit status {code}")

    def _show(self, waiting_for: str) -> None:
        if waiting_for != self._shown:
            self._shown = waiting_for
            self._progress(waiting_for)

    def _programs(self) -> dict[str, ProgramState]:
        try:
            return self._supervisor.programs()
        except NotRunning:
            self._check_supervisor()
            return {}

    def _check_supervisor(self) -> None:
        if self._process.poll() is not None:
            raise self._failed("supervisord", "has ended")

    def _failed(self, name: str, what: str) -> StartFailed:
        path = self._layout.log(name)
        return StartFailed(
            f"{name} {what}.",
            log=tail(path, _TAIL_LINES),
            remedy=f"The whole log is {path}; `mistudio doctor` checks this machine.",
        )
