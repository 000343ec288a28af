"""Services that are started and killed in numbers: the tests' side of :mod:`.forking`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from typing_extensions import Self

LEAVE_SECONDS = 30.0


class Nursery:
    """Starts and ends services by name.

    Parameters
    ----------
    services
        What will be started, of ``catalog``, ``loader``, ``extractor`` and ``gateway``.
    home
        For their logs.
    env
        Their environment, all of it.
    disks
        Directories that are to be file systems of their own, and of how many bytes.
    """

    def __init__(
        self,
        services: Sequence[str],
        home: Path,
        env: Mapping[str, str],
        disks: Mapping[Path, int] | None = None,
    ) -> None:
        self.home = home
        self.pids: dict[str, int] = {}
        self._command = [sys.executable, "-m", "mistudio_testkit.forking", *services]
        self._command += ["--home", str(home)]
        for path, size in (disks or {}).items():
            self._command += ["--disk", str(path), str(size)]
        self._env = dict(env)
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._running()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(LEAVE_SECONDS)

    def begin(
        self,
        service: str,
        name: str,
        *,
        network: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start a service as ``name``.

        Parameters
        ----------
        service
            Which.
        name
            Of the process; an extractor's device is ``dev_<name>``.
        network
            The file of the network namespace it lives in; None for ours.
        env
            Over the environment of all.
        """
        order = {
            "service": service,
            "name": name,
            "network": str(network or ""),
            "env": dict(env or {}),
        }
        self.pids[name] = int(self._ask(f"start {json.dumps(order)}"))

    def kill(self, name: str) -> None:
        """End a process with SIGKILL; returns when it is gone."""
        self._end(name, signal.SIGKILL)

    def leave(self, name: str) -> None:
        """Ask a process to end, with SIGTERM; returns when it has."""
        self._end(name, signal.SIGTERM)

    def alive(self, name: str) -> bool:
        """Tell whether the process that was started last as ``name`` runs, or stands still."""
        return name in self.pids and psutil.pid_exists(self.pids[name])

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Let a process stand still while the block runs, as a host that swaps does."""
        process = psutil.Process(self.pids[name])
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def checksums(self, storage_path: str) -> dict[str, list[str]]:
        """Verify a store where the services see it, and return its checksums."""
        found: dict[str, list[str]] = self._ask(f"checksums {storage_path}")
        return found

    def seen(self, path: Path) -> Path:
        """Return a path of the services' file systems as this process reaches it."""
        return Path(f"/proc/{self._running().pid}/root") / path.relative_to("/")

    def log(self, name: str) -> str:
        """Return what a process has logged."""
        return (self.home / f"{name}.log").read_text(encoding="utf-8")

    def _end(self, name: str, number: signal.Signals) -> None:
        process = psutil.Process(self.pids.pop(name))
        process.send_signal(number)
        process.wait(LEAVE_SECONDS)

    def _ask(self, command: str) -> Any:
        process = self._running()
        assert process.stdin is not None
        with self._one_at_a_time:
            process.stdin.write(command + "\n")
            process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        process = self._running()
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the services' parent has ended: {process.wait(LEAVE_SECONDS)}")
        return json.loads(line)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the nursery has not been entered")
        return self._process
