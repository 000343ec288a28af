"""Becomes one program of the stack: ``python launcher.py SPEC``.

Runs as a bare script with the standard library only, because the user that the program is to
run as may not be able to read this package, and because every program's start waits for it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def _die_with_parent(number: int, parent: int | None) -> None:
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")
    # The parent may have died before the request was made; then the signal never comes.
    if parent is not None and os.getppid() != parent:
        sys.exit(1)


def main(path: str) -> None:
    """Replace this process by the program that the file at ``path`` describes.

    Parameters
    ----------
    path
        A JSON object with ``argv``, ``env`` (the complete environment), ``cwd``, ``uid`` and
        ``gid`` (null to stay who we are) and ``parent_death_signal`` (null for none).
    """
    spec = json.loads(Path(path).read_text(encoding="utf-8"))
    parent = os.environ.get("MISTUDIO_SUPERVISOR_PID")
    os.chdir(spec["cwd"])
    if spec["uid"] is not None:
        os.setgroups([])
        os.setgid(spec["gid"])
        os.setuid(spec["uid"])
    # After the change of user, which clears the request.
    if spec["parent_death_signal"]:
        number = signal.Signals[spec["parent_death_signal"]]
        _die_with_parent(int(number), int(parent) if parent else None)
    os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - becoming it is the task


if __name__ == "__main__":
    main(sys.argv[1])
