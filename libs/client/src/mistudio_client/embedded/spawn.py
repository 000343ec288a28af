"""Starts the supervisor's process, which from then on holds the data directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from .files import write_private
from .layout import Layout
from .plan import Plan
from .processes import INSTANCE_VARIABLE, DirectoryLock
from .servers import LaunchSpec
from .supervisor import LAUNCH_VARIABLE, launch_variable, render

# The programs' environments are in files of their own; the supervisor itself needs little.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")


def spawn(
    layout: Layout,
    lock: DirectoryLock,
    plan: Plan,
    servers: Sequence[LaunchSpec],
    *,
    environ: Mapping[str, str],
    detach: bool,
) -> tuple[subprocess.Popen[bytes], int]:
    """Write what the supervisor reads, and start it.

    Parameters
    ----------
    layout
        Where the stack lives.
    lock
        The directory's lock, which the supervisor inherits.
    plan, servers
        What it is to run.
    environ
        Environment of this start.
    detach
        Let it outlive this process.

    Returns
    -------
    tuple
        The process, and the descriptor whose closing ends it: -1 when detached.
    """
    layout.open_socket_directory()
    for spec in (*servers, *plan.services):
        spec.write(layout.run)
    config = render(
        layout,
        [(spec.name, spec.stop_signal) for spec in servers],
        [spec.name for spec in plan.services],
    )
    write_private(layout.run / "supervisord.conf", config)
    command = [sys.executable, "-m", "mistudio_client.embedded.supervise", "supervisord.conf"]
    inherited = [lock.descriptor]
    watched = lifeline = -1
    if not detach:
        watched, lifeline = os.pipe()
        inherited.append(watched)
        command.append(str(watched))
    try:
        with layout.log("supervisord").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=layout.run,
                env={
                    **{name: environ[name] for name in _KEPT if name in environ},
                    LAUNCH_VARIABLE: launch_variable(),
                    INSTANCE_VARIABLE: layout.instance_id,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
                start_new_session=True,
            )
    except BaseException:
        if lifeline >= 0:
            os.close(lifeline)
        raise
    finally:
        if watched >= 0:
            os.close(watched)
    return process, lifeline
