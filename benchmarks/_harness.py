"""What the benchmarks share: contenders that take turns, and the file their figures go to."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "numpy")

Job = Callable[[], object]
"""One run of a contender, timed from call to return; what it returns is called, untimed, after."""


@dataclass(frozen=True)
class Run:
    """One timed run. ``cpu_seconds`` is the process's own, so it does not see who else ran."""

    contender: str
    seconds: float
    cpu_seconds: float


class Contender:
    """A process of its own that prepares once and then runs when told.

    While it waits it takes no processor, so contenders can take turns under the same load.

    Parameters
    ----------
    name
        In tables and results.
    prepare
        Called once in the process with ``arguments``; returns the job. Must be importable.
    """

    def __init__(self, name: str, prepare: Callable[..., Job], *arguments: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare, arguments))

    def __enter__(self) -> Contender:
        self._process.start()
        self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.is_alive():
            self._pipe.send(False)
        self._process.join()

    def run(self) -> Run:
        """Let it run once.

        Raises
        ------
        RuntimeError
            When the run failed; its process has printed why.
        """
        self._pipe.send(True)
        return Run(self.name, *self._answer())

    def _answer(self) -> tuple[float, float]:
        while not self._pipe.poll(1):
            if not self._process.is_alive():
                raise RuntimeError(f"{self.name} failed")
        found: tuple[float, float] = self._pipe.recv()
        return found


def _serve(pipe: Connection, prepare: Callable[..., Job], arguments: tuple[Any, ...]) -> None:
    job = prepare(*arguments)
    _run(job)  # A run that is not counted: pages, threads and kernels are warm afterwards.
    pipe.send((0.0, 0.0))
    while pipe.recv():
        pipe.send(_run(job))


def _run(job: Job) -> tuple[float, float]:
    cpu, start = _cpu_seconds(), time.perf_counter()
    tidy = job()
    taken = time.perf_counter() - start, _cpu_seconds() - cpu
    if callable(tidy):
        tidy()
    return taken


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # A benchmark that needs it fails by itself; another runs without.
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux alone; elsewhere the architecture has to do.
    for line in cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Write ``results/<name>.json`` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"benchmark": name, "machine": machine(), **result}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def as_json(runs: list[Run]) -> list[dict[str, Any]]:
    """Return runs as plain JSON, in the order in which they ran."""
    return [
        {**asdict(r), "seconds": round(r.seconds, 3), "cpu_seconds": round(r.cpu_seconds, 3)}
        for r in runs
    ]
