"""How quickly the running system answers: ``make bench NAME=api``.

Two figures through the whole embedded stack, each request a real one:

- from sending ``POST /api/models/{id}/load`` to the first WebSocket frame about it;
- ``GET /api/models`` over 10,000 rows, pages of 50 at random offsets.

There is no alternative to set beside them; the targets are 100 ms and 50 ms at the 99th percentile.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks._harness import write_result
from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.models import make_model
from mistudio_testkit.site import Site

ROWS = 10_000
LISTS = 400
LOADS = 120


def percentile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` of ``values`` lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def first_events(site: Site, model_id: str) -> list[float]:
    """Return seconds from the request to its first frame, over ``LOADS`` loads."""
    seconds: list[float] = []
    with site.frames(models=[model_id]) as frames:
        for _ in range(LOADS):
            start = time.perf_counter()
            site.ask("POST", f"/models/{model_id}/load", json={})
            frames.until("model:loading", model_id=model_id)
            seconds.append(time.perf_counter() - start)
            frames.until("model:ready", "model:failed", model_id=model_id)
            site.ask("POST", f"/models/{model_id}/unload")
            frames.until("model:unloaded", model_id=model_id)
    return seconds


async def fill(database_url: str, rows: int) -> None:
    """Add ``rows`` models to the catalog, as copies of one that is there."""
    connection = await asyncpg.connect(database_url)
    try:
        columns = [
            r["column_name"]
            for r in await connection.fetch(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = 'models' AND table_schema = 'public' AND column_name <> 'id'"
                " AND is_generated = 'NEVER'"
            )
        ]
        named = ", ".join(f'"{c}"' for c in columns)
        await connection.execute(
            f"INSERT INTO models (id, {named})"
            f" SELECT 'm_row_' || g, {named} FROM models CROSS JOIN generate_series(1, {rows}) g"
            " WHERE models.id = (SELECT id FROM models LIMIT 1)"
        )
        await connection.execute("ANALYZE models")
    finally:
        await connection.close()


def lists(site: Site) -> list[float]:
    """Return seconds of each list request, at random offsets."""
    rng = random.Random(0)
    seconds: list[float] = []
    for _ in range(LISTS):
        offset = rng.randrange(0, ROWS - 50)
        start = time.perf_counter()
        page = site.ask("GET", "/models", params={"offset": offset, "limit": 50})
        seconds.append(time.perf_counter() - start)
        assert page["total"] >= ROWS
        assert len(page["models"]) == 50
    return seconds


def figures(seconds: list[float]) -> dict[str, float]:
    """Return count, p50 and p99 in milliseconds."""
    return {
        "count": len(seconds),
        "p50_ms": round(1000 * statistics.median(seconds), 2),
        "p99_ms": round(1000 * percentile(seconds, 0.99), 2),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        model_dir = make_model(home / "models" / "tiny", "gpt2")
        env = {"LOAD_REQUESTS_PER_HOUR": "1000000"}
        with EmbeddedStack(home / "data", allow=[home / "models"], env=env) as stack:
            site = Site(stack.url, stack.token)
            model = site.ready_model(model_dir)
            with site.frames(models=[model["id"]]) as frames:
                site.ask("POST", f"/models/{model['id']}/unload")
                frames.until("model:unloaded", model_id=model["id"])
            events = first_events(site, model["id"])
            results: dict[str, Any] = {"post_to_first_event": figures(events)}
            asyncio.run(fill(stack.database_url, ROWS))
            results["list_10000_models"] = figures(lists(site))
            site.close()
    table = Table("request", "count", "p50 ms", "p99 ms", "target p99 ms", title="API latency")
    targets = {"post_to_first_event": 100, "list_10000_models": 50}
    for name, row in results.items():
        table.add_row(
            name, str(row["count"]), f"{row['p50_ms']}", f"{row['p99_ms']}", f"{targets[name]}"
        )
    Console().print(table)
    write_result("api", {"ratios": {}, "latency": results, "targets_p99_ms": targets})


if __name__ == "__main__":
    main()
