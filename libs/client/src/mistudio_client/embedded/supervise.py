"""Runs supervisord: ``python -m mistudio_client.embedded.supervise CONFIG [DESCRIPTOR]``.

With a descriptor, the read end of a pipe, the stack lives no longer than the process that holds
the write end. A pipe is used rather than a parent-death signal because that one follows the
thread that forked, which may end long before its process does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def _stop_when_closed(descriptor: int) -> None:
    while os.read(descriptor, 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: list[str]) -> None:
    """Run supervisord in the foreground until it is told to stop.

    Parameters
    ----------
    arguments
        The configuration file and, optionally, the pipe's descriptor.
    """
    from supervisor import supervisord

    # Programs compare it with their parent to notice a supervisor that died before they began.
    os.environ["MISTUDIO_SUPERVISOR_PID"] = str(os.getpid())
    if len(arguments) > 1:
        watcher = threading.Thread(
            target=_stop_when_closed, args=(int(arguments[1]),), name="parent", daemon=True
        )
        watcher.start()
    supervisord.main(["-n", "-c", arguments[0]])


if __name__ == "__main__":
    main(sys.argv[1:])
