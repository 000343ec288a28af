"""Extractors beside a stack, joined to it by environment alone, as those of other machines are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil

from mistudio_client.embedded import EmbeddedStack

if TYPE_CHECKING:
    from typing_extensions import Self

LEAVE_SECONDS = 30.0


class Fleet:
    """Starts and ends extractors by name; a name keeps its device id, ``dev_<name>``.

    Parameters
    ----------
    stack
        Whose bus and directories they share.
    home
        For their logs.
    disk
        Bytes of a file system of their own for the stores; None for the stack's directory.
    env
        Over this process's environment.
    """

    def __init__(
        self,
        stack: EmbeddedStack,
        home: Path,
        *,
        disk: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.stack, self.home = stack, home
        self.pids: dict[str, int] = {}
        self._command = [sys.executable, "-m", "mistudio_testkit.forking", "--home", str(home)]
        if disk is not None:
            self._command += ["--disk", str(disk)]
        self._env = {**os.environ, **joining(stack), **(env or {})}
        self._process: subprocess.Popen[str] | None = None

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

    def start(self, name: str, network: Path | None = None) -> None:
        """Start an extractor, in the network namespace of a file where one is given."""
        self.pids[name] = int(self._ask(f"start {name} {network or ''}"))

    def kill(self, name: str) -> None:
        """End an extractor with SIGKILL; returns when it is gone."""
        self._end(name, signal.SIGKILL)

    def leave(self, name: str) -> None:
        """Ask an extractor to end, with SIGTERM; returns when it has."""
        self._end(name, signal.SIGTERM)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Let an extractor stand still while the block runs, as a host that swaps does."""
        process = psutil.Process(self.pids[name])
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def checksums(self, storage_path: str) -> dict[str, list[str]]:
        """Verify a store where the extractors see it, and return its checksums."""
        found: dict[str, list[str]] = self._ask(f"checksums {storage_path}")
        return found

    def seen(self, path: Path) -> Path:
        """Return a path of the extractors' file systems as this process reaches it."""
        return Path(f"/proc/{self._running().pid}/root") / path.relative_to("/")

    def log(self, name: str) -> str:
        """Return what an extractor has logged."""
        return (self.home / f"{name}.log").read_text(encoding="utf-8")

    def _end(self, name: str, number: signal.Signals) -> None:
        process = psutil.Process(self.pids.pop(name))
        process.send_signal(number)
        process.wait(LEAVE_SECONDS)

    def _ask(self, command: str) -> Any:
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(command + "\n")
        process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        process = self._running()
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the extractors' parent has ended: {process.wait(LEAVE_SECONDS)}")
        return json.loads(line)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the fleet has not been entered")
        return self._process


def joining(stack: EmbeddedStack) -> dict[str, str]:
    """Return the environment by which an extractor of any machine joins a stack."""
    layout = stack.layout
    return {
        "NATS_URL": stack.nats_url,
        "MODEL_CACHE_DIR": str(layout.models),
        "DATASET_CACHE_DIR": str(layout.datasets),
        "ACTIVATION_CACHE_DIR": str(layout.activations),
    }
