"""Finds and ends what a stack has left running, and keeps two stacks off one directory."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

INSTANCE_VARIABLE = "MISTUDIO_INSTANCE"

KILL = (signal.SIGKILL, 5.0)
"""The last step of :func:`end`; a killed process may still be waiting for a slow disk."""


def wait_until(condition: Callable[[], bool], timeout: float, poll: float = 0.02) -> bool:
    """Wait for ``condition`` to hold; return whether it did before ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        pause.wait(poll)
    return True


class DirectoryLock:
    """An exclusive lock on a file, which a child process can be given to hold.

    The lock belongs to the open file description: the process that inherits ``descriptor``
    keeps it after we close ours, and the kernel releases it when that process ends in any way.

    Parameters
    ----------
    path
        The lock file; created when absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = -1

    def acquire(self, patience: float = 0.0) -> bool:
        """Take the lock; return whether it was free within ``patience`` seconds."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

        def locked() -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        try:
            if wait_until(locked, patience):
                self.descriptor = descriptor
        finally:
            if self.descriptor != descriptor:
                os.close(descriptor)
        return self.descriptor == descriptor

    def close(self) -> None:
        """Close our descriptor; a child that inherited it still holds the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def is_alive(process: psutil.Process) -> bool:
    """Tell whether ``process`` still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def instance_processes(instance: str) -> list[psutil.Process]:
    """Return the live processes marked with ``instance``, without us and our ancestors."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        try:
            marked = process.environ().get(INSTANCE_VARIABLE) == instance
        except (psutil.Error, OSError):
            # Other users' processes cannot be read, and ours never belong to other users
            # except the database's, which is found by its directory.
            continue
        if marked and is_alive(process):
            found.append(process)
    return found


def supervisor_process(pid_file: Path, instance: str) -> psutil.Process | None:
    """Return the running supervisor that ``pid_file`` names, if it is this stack's."""
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="ascii")))
        marked = process.environ().get(INSTANCE_VARIABLE) == instance
    except (FileNotFoundError, ValueError, psutil.Error):
        return None
    return process if marked and is_alive(process) else None


def postgres_processes(cluster: Path) -> list[psutil.Process]:
    """Return the live Postgres processes of the cluster at ``cluster``, the postmaster first.

    Postgres overwrites the environment that others read, so that the mark cannot be relied on;
    but each of its processes works in the cluster's directory.
    """
    postmaster = postmaster_pid(cluster)
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and Path(process.cwd()) == cluster:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    alive = [process for process in found if is_alive(process)]
    return sorted(alive, key=lambda process: process.pid != postmaster)


def postmaster_pid(cluster: Path) -> int | None:
    """Return the process id in ``postmaster.pid``, which may be stale."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def end(
    processes: Iterable[psutil.Process],
    signals: Iterable[tuple[signal.Signals, float]],
) -> list[psutil.Process]:
    """Send each signal in turn to those still alive, waiting the seconds beside it.

    Returns
    -------
    list of psutil.Process
        What is alive after the last signal.
    """
    left = [process for process in processes if is_alive(process)]
    for number, patience in signals:
        for process in left:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

        def gone() -> bool:
            return not any(is_alive(process) for process in left)  # noqa: B023 - called at once

        wait_until(gone, patience)
        left = [process for process in left if is_alive(process)]
        if not left:
            break
    return left


def end_postgres(cluster: Path, patience: float = 3.0) -> list[psutil.Process]:
    """Stop the cluster's processes: fast, then immediate, then by force."""
    processes = postgres_processes(cluster)
    if not processes:
        return []
    # Backends follow the postmaster; a signal to them would only end one query.
    left = end(processes[:1], [(signal.SIGINT, patience), (signal.SIGQUIT, 2.0)])
    left += [process for process in postgres_processes(cluster) if process not in left]
    return end(left, [(signal.SIGQUIT, 1.0), KILL])


def end_instance(instance: str, patience: float = 3.0) -> list[psutil.Process]:
    """End every process marked with ``instance``, by force after ``patience`` seconds."""
    return end(instance_processes(instance), [(signal.SIGTERM, patience), KILL])
