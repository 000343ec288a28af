"""What the benchmarks share: contenders that take turns, and the file their figures go to."""

from __future__ import annotations

import base64
import json
import os
import pickle
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
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
    arguments
        Must be picklable.
    python
        Of the environment that it runs in.
    warm
        Whether a run that is not counted comes first.
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[..., Job],
        *arguments: Any,
        python: Path | str = sys.executable,
        warm: bool = True,
    ) -> None:
        self.name = name
        module = prepare.__module__
        if module == "__main__":
            spec = sys.modules["__main__"].__spec__
            assert spec is not None, "benchmarks run with python -m"
            module = spec.name
        order = (module, prepare.__qualname__, warm, arguments)
        self._order = base64.b64encode(pickle.dumps(order)).decode() + "\n"
        self._python = str(python)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Contender:
        self._process = subprocess.Popen(
            [self._python, "-m", "benchmarks._serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._tell(self._order)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def run(self) -> Run:
        """Let it run once.

        Raises
        ------
        RuntimeError
            When the run failed; its process has printed why.
        """
        seconds, cpu_seconds = json.loads(self._tell("run\n"))
        return Run(self.name, seconds, cpu_seconds)

    def _tell(self, line: str) -> str:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} failed")
        return answer


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
