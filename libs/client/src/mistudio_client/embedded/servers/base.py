"""What the two servers have in common: a data directory, a port, a way to be started."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mistudio_client.embedded import launcher
from mistudio_client.embedded.errors import StartFailed
from mistudio_client.embedded.files import write_json
from mistudio_client.embedded.layout import Layout
from mistudio_client.embedded.logs import tail
from mistudio_client.embedded.ports import PortBook
from mistudio_client.embedded.processes import INSTANCE_VARIABLE, wait_until

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class LaunchSpec:
    """A program, ready to be run.

    Parameters
    ----------
    name
        What the program is called in logs and messages.
    argv
        Absolute path of the program, and its arguments.
    env
        The complete environment.
    cwd
        Directory to run in.
    user
        User and group id to run as; ours when None.
    stop_signal
        Signal that asks for a clean stop; also sent when the parent dies.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    user: tuple[int, int] | None = None
    stop_signal: str = "TERM"

    def write(self, directory: Path, *, follow_parent: bool = True) -> Path:
        """Write the launcher's file for this program and return its path."""
        uid, gid = self.user or (None, None)
        path = directory / f"{self.name}.json"
        write_json(
            path,
            {
                "argv": list(self.argv),
                "env": dict(self.env),
                "cwd": str(self.cwd),
                "uid": uid,
                "gid": gid,
                "parent_death_signal": f"SIG{self.stop_signal}" if follow_parent else None,
            },
        )
        return path


def launch_command(spec_file: Path) -> list[str]:
    """Return the command that becomes the program described by ``spec_file``."""
    # Nothing of site-packages is needed, and reading it would double the time to start.
    return [sys.executable, "-S", "-E", "-s", str(Path(launcher.__file__)), str(spec_file)]


class EmbeddedServer(ABC):
    """A server from a package, with its data below one directory.

    Parameters
    ----------
    data_dir
        Directory that keeps the server's data, password, port and log from run to run.
    port
        Port on the loopback interface; 0 for the one of the previous run, else any free one.
    """

    name: str
    stop_seconds = 5.0
    stop_signal = "TERM"

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        self.layout = Layout.at(data_dir)
        self._wanted_port = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> LaunchSpec:
        """Write what the server needs on disk, choose its port, and say how to run it."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether the server answers."""

    @abstractmethod
    def recover(self) -> None:
        """End what an earlier run has left, so that the server can start."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The server's address with credentials, as clients want it."""

    @property
    def port(self) -> int:
        """The port chosen by :meth:`prepare`, in this run or the last."""
        return self._port or self._remembered(self.name)

    @property
    def pid(self) -> int | None:
        """The process id when started by :meth:`start`, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, timeout: float = 30.0) -> Self:
        """Start the server alone, without a supervisor, and wait until it answers."""
        if self.pid is not None:
            return self
        self.layout.create()
        self.recover()
        spec = self.prepare()
        # The kernel's signal follows the thread that forked; only the main one lasts as long
        # as the process.
        lasting = threading.current_thread() is threading.main_thread()
        spec_file = spec.write(self.layout.run, follow_parent=lasting)
        with self.layout.log(self.name).open("ab") as log:
            self._process = subprocess.Popen(
                launch_command(spec_file),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = self._process
        settled = wait_until(lambda: process.poll() is not None or self.is_ready(), timeout)
        if not settled or process.poll() is not None:
            state = "ended" if process.poll() is not None else "did not answer in time"
            self.kill()
            raise StartFailed(
                f"{self.name} {state}.",
                log=tail(self.layout.log(self.name), 20),
                remedy=f"See {self.layout.log(self.name)}.",
            )
        return self

    def stop(self) -> None:
        """Stop the server cleanly, by force when it takes too long."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.Signals[f"SIG{self.stop_signal}"])
            try:
                process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        self._process = None

    def kill(self) -> None:
        """End the server at once with SIGKILL, as a power cut would; its data stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _choose_port(self, host: str = "127.0.0.1") -> int:
        book = PortBook(self.layout.ports)
        if self._wanted_port:
            self._port = book.fix(self.name, self._wanted_port)
        else:
            self._port = book.claim(self.name, host)
        return self._port

    def _remembered(self, name: str) -> int:
        port = PortBook(self.layout.ports).remembered(name)
        if port is None:
            raise RuntimeError(f"{self.name} has not been prepared")
        return port

    def _environment(self) -> dict[str, str]:
        """A bare environment: servers need none of the user's tokens."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LC_ALL": "C",
            INSTANCE_VARIABLE: self.layout.instance_id,
        }
