"""One piece of heavy work in a process of its own: ``python -m mistudio_loader.child``.

The job is one line of JSON on standard input; each line of standard output is a step, the result
or an error. The process dies with its parent: the kernel sees to it on Linux, and everywhere the
end of standard input does.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from mistudio_contracts import MiStudioError

from .domain.progress import Step

_PR_SET_PDEATHSIG = 1
_YOUNG_OBJECTS = 20_000


def main() -> None:
    """Do the job on standard input and leave."""
    parent, kind, body = _read_job()
    out = _take_stdout()
    _die_with(parent)
    # What it imports makes half a million objects, of which none is garbage.
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    def tell(step: Step) -> None:
        say(
            {
                "step": {
                    "stage": step.stage.value,
                    "message": step.message,
                    "done": step.done,
                    "total": step.total,
                    "waiting": step.waiting,
                }
            }
        )

    try:
        say({"result": _JOBS[kind](body, tell)})
    except MiStudioError as error:
        say({"error": error.body().model_dump(mode="json"), "transient": error.transient})
    except BaseException:  # noqa: BLE001 - the parent must hear of anything; the log has the trace
        traceback.print_exc()
        say({"crash": True})
    out.flush()
    # Threads of libraries must not hold up the end of a process that has nothing left to do.
    os._exit(0)


def _read_job() -> tuple[int, str, Any]:
    job = json.loads(sys.stdin.readline())
    return int(job["parent"]), str(job["kind"]), job["job"]


def _take_stdout() -> TextIO:
    """Keep standard output for the protocol; what libraries print goes to standard error."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "w", encoding="utf-8")


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    def watch() -> None:
        while sys.stdin.buffer.read(1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _prepare(body: Any, tell: Callable[[Step], None]) -> Any:
    from .jobs import PrepareJob
    from .services.preparation import Preparation

    return Preparation(PrepareJob.model_validate(body), tell).run().model_dump(mode="json")


def _ingest(body: Any, tell: Callable[[Step], None]) -> Any:
    from .datasets.ingestion import ingest
    from .jobs import IngestJob

    job = IngestJob.model_validate(body)
    _take_no_more_than(job.memory_bytes)
    return ingest(job).model_dump(mode="json")


def _take_no_more_than(memory_bytes: int) -> None:
    """Have the kernel refuse this process more memory: a small file may unpack to any size."""
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


_JOBS: dict[str, Callable[[Any, Callable[[Step], None]], Any]] = {
    "prepare": _prepare,
    "ingest": _ingest,
}

if __name__ == "__main__":
    main()
