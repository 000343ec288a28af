"""What the running system costs while nobody uses it: ``make bench NAME=idle``.

The whole embedded stack is started once to make its data directory, stopped, and started again,
which is timed. When the extractor has imported what computes, the proportional set size of every
process is read: memory that several processes share is divided among them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks._harness import write_result
from mistudio_client.embedded import EmbeddedStack

MB = 1024 * 1024
SERVICES = ("catalog", "loader", "extractor", "gateway")
LIMITS = {"catalog": 150, "gateway": 150, "loader": 150, "extractor": 600, "all": 1200}
"""Megabytes."""

READY_LIMIT = 15.0
"""Seconds."""

COMPUTES = "libtorch_cpu"
"""Mapped by the extractor once it has imported torch."""

IMPORT_DEADLINE = 120.0


def processes(data: Path) -> list[psutil.Process]:
    """Return every process of the stack of a data directory."""
    own = psutil.Process()
    return [p for p in own.children(recursive=True) if p.is_running()] or [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(data) in " ".join(p.info["cmdline"] or [])
    ]


def kind(process: psutil.Process) -> str:
    """Return what a process is."""
    words = " ".join(process.cmdline())
    for service in SERVICES:
        if f"mistudio_{service}" in words:
            return service
    for server in ("nats-server", "postgres"):
        if server in words:
            return server.removesuffix("-server")
    return "supervisor"


def wait_for_torch(data: Path) -> None:
    """Wait until the extractor has imported what computes and rests."""
    deadline = time.monotonic() + IMPORT_DEADLINE
    while time.monotonic() < deadline:
        extractors = [p for p in processes(data) if kind(p) == "extractor"]
        ready = [p for p in extractors if any(COMPUTES in m.path for m in p.memory_maps())]
        if ready and all(p.cpu_percent(interval=2.0) < 10.0 for p in ready):
            return
    raise SystemExit("the extractor did not come to rest")


def measure(data: Path) -> dict[str, int]:
    """Return bytes of proportional set size by kind of process."""
    found: dict[str, int] = defaultdict(int)
    for process in processes(data):
        try:
            found[kind(process)] += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # A worker of Postgres that has just done its work.
    return dict(found)


def report(sizes: dict[str, int], seconds: float) -> dict[str, Any]:
    """Print the table, and return what is written."""
    sizes = {**dict(sorted(sizes.items())), "all": sum(sizes.values())}
    table = Table("", "MB", "at most", title="The idle stack, proportional set size")
    for name, size in sizes.items():
        limit = LIMITS.get(name)
        table.add_row(name, f"{size / MB:.0f}", "" if limit is None else str(limit))
    table.add_row("ready, warm", f"{seconds:.1f} s", f"{READY_LIMIT:.0f} s")
    Console().print(table)
    return {
        "pss_bytes": sizes,
        "limits_mb": LIMITS,
        "ready_seconds": round(seconds, 2),
        "ready_limit_seconds": READY_LIMIT,
        "within": seconds < READY_LIMIT
        and all(sizes[name] < limit * MB for name, limit in LIMITS.items()),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        with EmbeddedStack(data):
            wait_for_torch(data)
        start = time.perf_counter()
        with EmbeddedStack(data):
            seconds = time.perf_counter() - start
            wait_for_torch(data)
            result = report(measure(data), seconds)
    write_result("idle", result)
    if not result["within"]:
        raise SystemExit("more than is allowed")


if __name__ == "__main__":
    main()
