"""Runs preparations in processes of their own, each killed at a chosen moment.

A moment is a step that is told, or an operation on a file under the cache root: the process kills
itself with signal 9 just before the one asked for. Imports are made once, before the forks.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import mistudio_capture.fidelity
import mistudio_capture.quantize  # noqa: F401
from mistudio_loader.jobs import PrepareJob
from mistudio_loader.services.preparation import Preparation

OPERATIONS = frozenset(
    {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate"}
)


def main() -> None:
    """Take orders from standard input, a JSON object a line, and answer each on standard output."""
    for line in sys.stdin:
        order = json.loads(line)
        answer, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(answer)
            os.write(told, str(_work(order["job"], order["moment"])).encode())
            os._exit(0)
        os.close(told)
        with os.fdopen(answer) as stream:
            moments = stream.read()
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        sys.stdout.write(json.dumps({"code": code, "moments": int(moments or 0)}) + "\n")
        sys.stdout.flush()


def _work(body: Any, moment: int) -> int:
    job = PrepareJob.model_validate(body)
    root = str(job.root)
    passed = 0

    def reached() -> None:
        nonlocal passed
        passed += 1
        if passed == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event in OPERATIONS and str(args[0]).startswith(root):
            reached()

    sys.addaudithook(hear)
    Preparation(job, lambda step: reached()).run()
    return passed


if __name__ == "__main__":
    main()
