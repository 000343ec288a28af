"""Looks at a stack from beneath: the database, the disks, the streams, and what devices say."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import ServiceUnavailableError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

import mistudio_activations
from mistudio_loader.storage.artifacts import find_artifact
from mistudio_servicekit.dead import STREAM as DEAD

from .bed import Bed
from .final import CacheRow, ExtractionRow, Final, ModelRow, StoreOnDisk
from .history import Event

T = TypeVar("T")

CATCHING_UP_SECONDS = 20.0
QUEUES = ("COMMANDS", "WORK", "REPORTS")
EVENTS = "EVENTS"
"""What the catalog tells everybody."""

_UNREST = {
    "a message waits in the outbox": "SELECT subject AS id FROM outbox",
    "a model is on its way": "SELECT id || ' ' || phase AS id FROM models WHERE phase <> 'idle'",
    "an extraction is under way": (
        "SELECT id || ' ' || phase AS id FROM extractions WHERE phase <> 'done'"
    ),
    "a dataset is ingested": "SELECT id FROM datasets WHERE status = 'ingesting'",
    "a store is to be evicted": "SELECT store_key AS id FROM store_evictions",
    "files are to be removed": "SELECT fingerprint AS id FROM removals",
}


class Looking:
    """Looks at one stack.

    Parameters
    ----------
    bed
        The stack.
    """

    def __init__(self, bed: Bed) -> None:
        self._bed = bed

    def newest(self) -> int:
        """Return the sequence of the newest event."""
        return self._with_bus(_newest)

    def events(self, after: int) -> tuple[Event, ...]:
        """Return what the stream of events holds behind a sequence."""
        return self._with_bus(lambda jetstream: _events(jetstream, after))

    def final(self) -> Final:
        """Return how everything stands."""
        # What waits is looked at first: of a command taken in between, the rows then tell.
        queued, dead = self._with_bus(_queued)
        rows: Final = asyncio.run(self._rows())
        return Final(
            models=rows.models,
            extractions=rows.extractions,
            caches=rows.caches,
            columns=rows.columns,
            stores=self._stores(),
            artifacts=self._artifacts(),
            devices=rows.devices,
            unrest=(*rows.unrest, *queued, *self._leftovers()),
            dead=dead,
        )

    async def _rows(self) -> Final:
        connection = await asyncpg.connect(self._bed.postgres.url)
        try:
            unrest = [
                f"{what}: {row['id']}"
                for what, query in _UNREST.items()
                for row in await connection.fetch(query)
            ]
            models = await connection.fetch("SELECT * FROM models ORDER BY id")
            extractions = await connection.fetch("SELECT * FROM extractions ORDER BY created_at")
            caches = await connection.fetch("SELECT * FROM activation_caches ORDER BY id")
            columns = await connection.fetch("SELECT store_key, hook_point FROM store_columns")
            devices = await connection.fetch("SELECT id, online, residents FROM devices")
        finally:
            await connection.close()
        by_store: dict[str, set[str]] = {}
        for row in columns:
            by_store.setdefault(row["store_key"], set()).add(row["hook_point"])
        return Final(
            models=tuple(
                ModelRow(r["id"], r["status"], r["phase"], r["device_id"], r["fingerprint"])
                for r in models
            ),
            extractions=tuple(
                ExtractionRow(r["id"], r["model_id"], r["status"], r["cache_id"], r["store_key"])
                for r in extractions
            ),
            caches=tuple(
                CacheRow(r["id"], r["store_key"], tuple(r["hook_points"])) for r in caches
            ),
            columns={key: frozenset(names) for key, names in by_store.items()},
            devices={r["id"]: _held(r) for r in devices},
            unrest=tuple(unrest),
        )

    def _stores(self) -> dict[str, StoreOnDisk]:
        home = self._bed.nursery.seen(self._bed.postgres.layout.activations)
        return {path.name: _store(path) for path in sorted(home.iterdir()) if _shown(path)}

    def _artifacts(self) -> dict[str, str]:
        home = self._bed.nursery.seen(self._bed.postgres.layout.models)
        return {
            path.name: "" if find_artifact(home, path.name) else "not whole"
            for path in sorted(home.iterdir())
            if _shown(path)
        }

    def _leftovers(self) -> list[str]:
        layout = self._bed.postgres.layout
        staging = self._bed.nursery.seen(layout.models) / ".staging"
        stores = self._bed.nursery.seen(layout.activations)
        return [
            *(f"a preparation has left {each.name}" for each in _inside(staging)),
            *(
                f"somebody at work has left {each.name}"
                for each in _inside(stores)
                if each.is_dir() and not _shown(each)
            ),
        ]

    def _with_bus(self, look: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        async def ask() -> T:
            client: Client = await nats.connect(self._bed.bus.urls)
            try:
                return await look(client.jetstream(timeout=5))
            finally:
                await client.close()

        # A node that came back is catching up: nothing can be said of the bus yet.
        waiting = Retrying(
            retry=retry_if_exception_type((asyncio.TimeoutError, ServiceUnavailableError)),
            wait=wait_fixed(0.2),
            stop=stop_after_delay(CATCHING_UP_SECONDS),
            reraise=True,
        )
        return waiting(lambda: asyncio.run(ask()))


def _shown(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _held(row: Any) -> frozenset[str] | None:
    if not row["online"]:
        return None
    residents = json.loads(row["residents"])
    return frozenset(each["model_id"] for each in residents)


def _store(path: Path) -> StoreOnDisk:
    try:
        store = mistudio_activations.open(path)
        store.verify()
    except mistudio_activations.StoreNotFound:
        return StoreOnDisk(unnamed=_files(path, set()))
    except (mistudio_activations.ActivationsError, OSError) as error:
        return StoreOnDisk(damage=f"{type(error).__name__}: {error}")
    named = {shard.path for shard in store.manifest.tokens}
    for name, column in store.manifest.columns.items():
        named.add(f"{name}/stats.json")
        for shard in column.shards:
            named |= {shard.path, shard.path.replace(".safetensors", ".stats")}
    sums = {name: [s.sha256 for s in c.shards] for name, c in store.manifest.columns.items()}
    return StoreOnDisk(columns=sums, unnamed=_files(path, named))


_WRITTEN = re.compile(r"[^/]+/(\d{5}\.(safetensors|stats)|stats\.json|\..*\.partial)")


def _files(path: Path, named: set[str]) -> tuple[str, ...]:
    found = (
        Path(directory, name).relative_to(path).as_posix()
        # Deleted while it is looked at, a directory is empty.
        for directory, _, names in os.walk(path)
        for name in names
    )
    return tuple(sorted(name for name in found if _WRITTEN.fullmatch(name) and name not in named))


def _inside(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


async def _newest(jetstream: JetStreamContext) -> int:
    return int((await jetstream.stream_info(EVENTS)).state.last_seq)


async def _events(jetstream: JetStreamContext, after: int) -> tuple[Event, ...]:
    newest = await _newest(jetstream)
    found: list[Event] = []
    if newest <= after:
        return ()
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        inactive_threshold=10.0,
    )
    reading = await jetstream.pull_subscribe("", stream=EVENTS, config=config)
    while not found or found[-1].sequence < newest:
        for message in await reading.fetch(500, timeout=5):
            kind = message.subject.replace(".", ":", 1).replace(".", "_")
            sequence = message.metadata.sequence.stream
            found.append(Event(sequence, kind, json.loads(message.data)))
    await reading.unsubscribe()
    return tuple(found)


async def _queued(jetstream: JetStreamContext) -> tuple[tuple[str, ...], tuple[str, ...]]:
    waiting = [
        f"a message waits in {stream}: {subject}"
        for stream in QUEUES
        for subject in (
            (await jetstream.stream_info(stream, subjects_filter=">")).state.subjects or {}
        )
    ]
    dead = (await jetstream.stream_info(DEAD, subjects_filter=">")).state.subjects or {}
    return tuple(waiting), tuple(f"{subject} ({count})" for subject, count in dead.items())
