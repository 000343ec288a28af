"""How much the running system takes: ``make bench NAME=load``.

Five parts, each of which runs alone by ``--only``, on an embedded stack of its own:

- *clients*: 2,000 WebSocket clients that hear of everything, and 500 requests a second beside them;
- *silent*: clients that never read, what each costs, and how they end;
- *pages*: the pages over 100,000 models and 1,000,000 events;
- *soak*: a day's work as fast as the system does it, and whether memory stays flat;
- *bus*: two weeks' messages through NATS alone, and whether its memory stays flat.

Clients, requests and what measures run on the same machine: their own processor time is told.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._harness import RESULTS, write_result

from . import bus, clients, pages, silent, soak

PARTS = ("clients", "silent", "pages", "soak", "bus")


def measure(
    part: str, home: Path, told: argparse.Namespace
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return a part's result, and the lines of its table."""
    if part == "clients":
        result = clients.run(home, told.clients, told.rate, told.seconds)
        return result, clients.table(result)
    if part == "silent":
        result = silent.run(home, told.silent)
        return result, silent.table(result)
    if part == "pages":
        result = pages.run(home, told.models, told.events)
        return result, pages.table(result)
    if part == "soak":
        result = soak.run(home, told.hours)
        return result, soak.table(result)
    result = bus.run(home, told.days)
    return result, bus.table(result)


def kept() -> dict[str, Any]:
    """Return the results of the parts that ran last time."""
    path = RESULTS / "load.json"
    parts: dict[str, Any] = json.loads(path.read_text("utf-8"))["parts"] if path.exists() else {}
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="may be repeated")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=500, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="of requests")
    parser.add_argument("--silent", type=int, default=100, help="clients that never read")
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--hours", type=float, default=24.0, help="of work in the soak")
    parser.add_argument("--days", type=int, default=14, help="of messages through NATS alone")
    parser.add_argument("--trial", action="store_true", help="write no result")
    told = parser.parse_args()
    parts = kept()
    for part in told.only or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            result, lines = measure(part, Path(scratch), told)
        shown = Table(part, "", title="Load")
        for line in lines:
            shown.add_row(*line)
        Console().print(shown)
        parts[part] = {**result, "table": lines}
        if not told.trial:
            write_result("load", {"parts": {name: parts[name] for name in PARTS if name in parts}})


if __name__ == "__main__":
    main()
