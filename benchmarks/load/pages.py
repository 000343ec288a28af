"""Pages over a catalog of a hundred thousand models and a million events."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console

from mistudio_client.embedded import EmbeddedStack
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import Json, Site

from .figures import milliseconds

TIMES = 100
"""How often each page is asked for; the first of them is not counted."""

LIMIT_MS = 100.0
DATASETS = 1_000
SHARDS = 10
"""Of each extraction; the event of a shard is its row."""

TYPES = ("gpt2", "llama", "qwen2", "gemma2", "mistral")
Asked = tuple[str, dict[str, Any]]


async def fill(database_url: str, models: int, events: int) -> dict[str, int]:
    """Fill the catalog with copies of what is there, and return the rows of each table.

    An event here is what is kept of it: the row of a captured shard, of a command that was
    handled, and of who did what.
    """
    connection = await asyncpg.connect(database_url)
    try:
        await _copies(
            connection,
            "models",
            models,
            {
                "id": "'m_row_' || g",
                "name": "'model ' || g",
                "model_identifier": "'somebody/model-' || g",
                "model_type": f"({_array(TYPES)})[1 + g % {len(TYPES)}]",
                "status": f"({_array(('pending', 'failed', 'unloaded'))})[1 + g % 3]",
                "phase": "'idle'",
                "created_at": "now() - g * interval '1 minute'",
            },
        )
        await _copies(
            connection,
            "datasets",
            DATASETS,
            {"id": "'ds_row_' || g", "created_at": "now() - g * interval '1 hour'"},
        )
        await _copies(
            connection,
            "extractions",
            events // SHARDS,
            {
                "id": "'ext_row_' || g",
                "model_id": f"'m_row_' || 1 + g % {models}",
                "dataset_id": f"'ds_row_' || 1 + g % {DATASETS}",
                "status": "CASE WHEN g % 100 = 0 THEN 'failed' ELSE 'completed' END",
                "created_at": "now() - g * interval '1 second'",
            },
        )
        await _copies(
            connection,
            "activation_caches",
            models,
            {
                "id": "'act_row_' || g",
                "model_id": "'m_row_' || g",
                "dataset_id": f"'ds_row_' || 1 + g % {DATASETS}",
                "created_at": "now() - g * interval '1 second'",
            },
        )
        await connection.execute(
            "INSERT INTO extraction_shards (extraction_id, index, sample_start, samples, tokens,"
            " hook_points, status, samples_done, seconds, work)"
            " SELECT 'ext_row_' || 1 + g / $2, g % $2, 0, 100, 65536,"
            " ARRAY['layers.0.resid_post'], 'captured', 100, 1.5, 65536"
            " FROM generate_series(0, $1 - 1) g",
            events,
            SHARDS,
        )
        await connection.execute(
            "INSERT INTO inbox (message_id, subject)"
            " SELECT 'cmd_' || g, 'extraction.requested' FROM generate_series(1, $1) g",
            events,
        )
        if await connection.fetchval("SELECT to_regclass('audit_log') IS NOT NULL"):
            await connection.execute(
                "INSERT INTO audit_log (at, actor, action, object_id, door, outcome)"
                " SELECT now() - g * interval '7 seconds', 'user_' || g % 50, 'model.load',"
                " 'm_row_' || 1 + g % $2, 'rest', 'done' FROM generate_series(1, $1) g",
                events,
                models,
            )
        # As autovacuum and the checkpointer would have done while the rows came in over months.
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        tables = ("models", "extractions", "activation_caches", "extraction_shards", "inbox")
        counted = {}
        for table in (*tables, "audit_log"):
            if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
                counted[table] = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return counted
    finally:
        await connection.close()


def _array(words: tuple[str, ...]) -> str:
    return "ARRAY[" + ", ".join(f"'{word}'" for word in words) + "]"


async def _copies(
    connection: asyncpg.Connection[Any], table: str, rows: int, changes: dict[str, str]
) -> None:
    """Add ``rows`` copies of the one row of a table, with other values in some columns."""
    columns = [
        record["column_name"]
        for record in await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = $1"
            " AND table_schema = 'public' AND is_generated = 'NEVER'",
            table,
        )
    ]
    named = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(changes.get(column, f'one."{column}"') for column in columns)
    await connection.execute(
        f"INSERT INTO {table} ({named}) SELECT {values}"
        f" FROM (SELECT * FROM {table} LIMIT 1) one, generate_series(1, {rows}) g"
    )


def questions(models: int, events: int, audited: bool) -> dict[str, list[Asked]]:
    """Return what is asked, by what it is called: path, parameters, and who is meant by chance."""
    rng = random.Random(0)
    extractions = events // SHARDS

    def asked(path: str, **given: Any) -> list[Asked]:
        return [_chosen(rng, path, given) for _ in range(TIMES)]

    found = {
        "models, the newest": asked("/models"),
        "models, any page": asked("/models", offset=range(0, models - 50)),
        "models by status": asked("/models", status="unloaded"),
        "models by type": asked("/models", model_type="llama"),
        "models by both, any page": asked(
            "/models", status="unloaded", model_type="llama", offset=range(0, models // 15 - 50)
        ),
        "models, a search that finds all": asked("/models", search="model"),
        "models, a search that finds few": asked("/models", search=f"model {models - 1}"),
        "models, a search that finds none": asked("/models", search="of nobody"),
        "a model": asked("/models/m_row_{n}", n=range(1, models)),
        "extractions, the newest": asked("/extractions"),
        "extractions, any page": asked("/extractions", offset=range(0, extractions - 50)),
        "extractions by status": asked("/extractions", status="failed"),
        "extractions of a model": asked("/extractions", model_id="m_row_7"),
        "extractions of a dataset": asked("/extractions", dataset_id="ds_row_7"),
        "an extraction": asked("/extractions/ext_row_{n}", n=range(1, extractions)),
        "caches, any page": asked("/activations", offset=range(0, models - 50)),
        "caches of a model": asked("/activations", model_id="m_row_7"),
        "caches of a dataset": asked("/activations", dataset_id="ds_row_7"),
        "datasets, any page": asked("/datasets", offset=range(0, DATASETS - 50)),
    }
    if audited:
        found |= {
            "audit log, the newest": asked("/audit"),
            "audit log, of a user": asked("/audit", actor="user_7"),
            "audit log, of a model": asked("/audit", object_id="m_row_7"),
            "audit log, by action": asked("/audit", action="model.load"),
        }
    return found


def _chosen(rng: random.Random, path: str, given: dict[str, Any]) -> Asked:
    """Return a request: of a range one number is taken, and a name that the path has goes there."""
    chosen = {
        name: rng.choice(value) if isinstance(value, range) else value
        for name, value in given.items()
    }
    params = {name: value for name, value in chosen.items() if f"{{{name}}}" not in path}
    return path.format(**chosen), params


def times(site: Site, requests: list[Asked]) -> list[float]:
    """Return the seconds of each request but the first."""
    seconds: list[float] = []
    for path, params in requests:
        begin = time.perf_counter()
        answer: Json = site.ask("GET", path, params=params)
        seconds.append(time.perf_counter() - begin)
        assert answer
    return seconds[1:]


def run(home: Path, models: int, events: int) -> dict[str, Any]:
    """Return the latencies of pages over a catalog of so much."""
    checkpoint = make_model(home / "models" / "tiny", "gpt2")
    with EmbeddedStack(home / "data", allow=[home / "models"]) as stack:
        site = Site(stack.url, stack.token)
        model = site.ready_model(checkpoint)
        dataset = site.upload(write_jsonl(home / "texts.jsonl", ragged_texts(8)))
        site.extract(model["id"], dataset_id=dataset["id"], layer_indices=[0])
        with Console().status("filling the catalog"):
            begin = time.perf_counter()
            rows = asyncio.run(fill(stack.database_url, models, events))
            seconds = time.perf_counter() - begin
        pages = {
            name: milliseconds(times(site, requests))
            for name, requests in questions(models, events, "audit_log" in rows).items()
        }
        site.close()
    return {
        "rows": rows,
        "filling_seconds": round(seconds, 1),
        "limit_p99_ms": LIMIT_MS,
        "within": all(each["p99_ms"] < LIMIT_MS for each in pages.values()),
        "pages": pages,
    }


def table(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the result as lines to read."""
    return [
        ("rows", " ".join(f"{name} {count:,}" for name, count in result["rows"].items())),
        ("", "p50 p99 ms"),
        *((name, f"{each['p50_ms']} {each['p99_ms']}") for name, each in result["pages"].items()),
    ]
