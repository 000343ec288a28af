"""The far side of a contender: prepares once, then runs when told. See :mod:`benchmarks._harness`.

Imports nothing but the standard library, so that it runs in an environment of others' packages.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import pickle
import resource
import sys
import time
from collections.abc import Callable


def main() -> None:
    """Take the contender from the first line of standard input, and a line for each run."""
    # What libraries print goes to standard error; the protocol keeps standard output.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module, name, warm, arguments = pickle.loads(base64.b64decode(sys.stdin.readline()))
    job = getattr(importlib.import_module(module), name)(*arguments)
    if warm:
        _run(job)  # A run that is not counted: pages, threads and kernels are warm afterwards.
    print("ready", file=out, flush=True)
    for _ in sys.stdin:
        print(json.dumps(_run(job)), file=out, flush=True)


def _run(job: Callable[[], object]) -> tuple[float, float]:
    cpu, start = _cpu_seconds(), time.perf_counter()
    tidy = job()
    taken = time.perf_counter() - start, _cpu_seconds() - cpu
    if callable(tidy):
        tidy()
    return taken


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
