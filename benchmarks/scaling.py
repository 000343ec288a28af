"""What one shard costs everything but the device: ``make bench NAME=scaling``.

Four measurements, each of the running system. A real extraction of many tiny shards gives the
messages, bytes, transactions and WAL of a shard. Then the extractor leaves, and stand-ins for many
answer the orders of a long plan at once, which is as fast as catalog, Postgres and NATS go; whether
the last shards take longer than the first is what ``growth`` tells. They also send the heartbeats
of a thousand devices. Stores of many shards with next to no rows give manifest bytes and commit
seconds. From these figures docs/scaling.md plans 1,000 extractors and a billion tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import psutil
from nats.js import JetStreamContext
from rich.console import Console
from rich.table import Table

from benchmarks._harness import write_result
from mistudio_activations import ShardWriter, commit, open, shard_file, token_file, write_tokens
from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts import reports, rpc, subjects, work
from mistudio_contracts.base import new_id
from mistudio_contracts.values import ColumnFile, ColumnPlan, ShardCut
from mistudio_extractor.config import ExtractorSettings
from mistudio_extractor.services.planning import Planning
from mistudio_extractor.storage.layout import Layout
from mistudio_servicekit.bus import Publisher, create_broker
from mistudio_servicekit.rpc import call
from mistudio_servicekit.settings import ServiceSettings
from mistudio_testkit.fleet import Fleet
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.site import Site

STREAMS = ("WORK", "REPORTS", "EVENTS", "PROGRESS")
SERVICES = ("catalog", "loader", "gateway")
POOL = "default"
STAND_INS = 64
STORES = ((250, 1), (1000, 1), (500, 4))
"""Shards and columns."""


@dataclass(frozen=True)
class Reading:
    """Counters of the running system at one moment."""

    at: float
    stored: dict[str, int]
    nats: dict[str, int]
    transactions: int
    wal_bytes: int
    cpu: dict[str, float]

    def since(self, before: Reading, shards: int) -> dict[str, Any]:
        """Return what each of ``shards`` shards cost since ``before``."""
        stored = {key: (self.stored[key] - before.stored[key]) / shards for key in STREAMS}
        return {
            "seconds": round((self.at - before.at) / shards, 5),
            "stored_messages": {key: round(value, 2) for key, value in stored.items()},
            **{
                f"nats_{key}": round((value - before.nats[key]) / shards, 1)
                for key, value in self.nats.items()
            },
            "postgres_transactions": round((self.transactions - before.transactions) / shards, 2),
            "wal_bytes": round((self.wal_bytes - before.wal_bytes) / shards),
            "cpu_seconds": {
                key: round((value - before.cpu[key]) / shards, 5) for key, value in self.cpu.items()
            },
        }


async def read(stack: EmbeddedStack, jetstream: JetStreamContext, database: Any) -> Reading:
    """Read every counter."""
    stored = {name: (await jetstream.stream_info(name)).state.last_seq for name in STREAMS}
    varz = await asyncio.to_thread(_varz, NatsServer(stack.layout.root).monitor_port)
    # What the connection that asks has done is told a second later; it is little.
    transactions = await database.fetchval(
        "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    )
    wal = await database.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
    return Reading(
        time.monotonic(),
        {name: int(value) for name, value in stored.items()},
        {key: int(varz[key]) for key in ("in_msgs", "out_msgs", "in_bytes", "out_bytes")},
        int(transactions),
        int(wal),
        {name: _cpu(stack.pid(name)) for name in ("catalog", "nats", "postgres")},
    )


def _varz(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _cpu(pid: int) -> float:
    process = psutil.Process(pid)
    every = [process, *process.children(recursive=True)]
    times = [each.cpu_times() for each in every]
    # Ended children are the parent's to count, once it has waited for them.
    return sum(each.user + each.system for each in times) + sum(
        each.children_user + each.children_system for each in times
    )


class Bench:
    """One stack, a ready model and a dataset; first with a real extractor, then without."""

    def __init__(self, stack: EmbeddedStack, shards: int, devices: int) -> None:
        self.stack, self.shards, self.devices = stack, shards, devices
        self.site = Site(stack.url, stack.token)
        self.settings = ServiceSettings(nats_url=stack.nats_url)

    async def run(self, model: Path, texts: Path, home: Path) -> dict[str, Any]:
        """Measure everything that needs the stack."""
        broker = create_broker(self.settings, "bench")
        await broker.start()
        self.publisher, self.broker = Publisher(broker, "bench"), broker
        self.jetstream = (await broker.connect()).jetstream()
        self.database = await asyncpg.connect(self.stack.database_url)
        try:
            ready, dataset, real = await self._real(model, texts, home)
            planning, catalog = await self._catalog(ready, dataset)
            return {
                "a_shard": real,
                "planning": planning,
                "catalog": catalog,
                "heartbeats": await self._heartbeats(),
            }
        finally:
            await self.database.close()
            await broker.stop()
            self.site.close()

    async def _real(self, model: Path, texts: Path, home: Path) -> tuple[str, str, dict[str, Any]]:
        say("a real extraction of tiny shards")
        with Fleet(self.stack, home, env={"LOG_LEVEL": "WARNING"}) as fleet:
            fleet.start("one")
            ready = await asyncio.to_thread(self.site.ready_model, model)
            dataset = await asyncio.to_thread(self.site.upload, texts)
            before = await read(self.stack, self.jetstream, self.database)
            done = await asyncio.to_thread(
                lambda: self.site.extract(
                    ready["id"], timeout=600, dataset_id=dataset["id"], layer_indices=[0, 1, 2]
                )
            )
            await asyncio.sleep(1.5)  # Postgres tells its counts once a second.
            after = await read(self.stack, self.jetstream, self.database)
            if done["status"] != "completed":
                raise SystemExit(f"the extraction {done['status']}: {done['error']}")
            store = open(done["storage_path"])
            shards = len(store.manifest.tokens)
            manifest = (Path(done["storage_path"]) / "manifest.json").stat().st_size
            found = {
                "shards": shards,
                "columns": 3,
                "manifest_bytes_a_shard_and_column": round(manifest / shards / 4, 1),
                **after.since(before, shards),
            }
            return ready["id"], dataset["id"], found

    async def _catalog(self, model: str, dataset: str) -> tuple[dict[str, Any], dict[str, Any]]:
        say("a plan")
        await self._beat("dev_bench")
        asked = rpc.ExtractionRequest(
            command={"model_id": model, "dataset_id": dataset, "layer_indices": [3]}
        )
        await call(self.broker, subjects.RPC_EXTRACTION_REQUEST, asked)
        order, planning = await self._plan()
        first = await read(self.stack, self.jetstream, self.database)
        begun = time.monotonic()
        say(f"a plan of {self.shards} shards, taken by {STAND_INS} stand-ins")
        report, size = self._long_plan(order)
        await self._publish(subjects.REPORT_PLANNED, report)
        marks = await self._answer_orders()
        last = await read(self.stack, self.jetstream, self.database)
        tenth = max(1, self.shards // 10)
        early = tenth / (marks[2 * tenth] - marks[tenth])
        late = tenth / (marks[-tenth] - marks[-2 * tenth])
        rss = psutil.Process(self.stack.pid("catalog")).memory_info().rss
        return planning, {
            "shards": self.shards,
            "plan_message_bytes": size,
            "plan_to_first_order_seconds": round(marks[0] - begun, 3),
            "shards_a_second": round((self.shards - 1) / (marks[-1] - marks[0]), 1),
            "early_shards_a_second": round(early, 1),
            "late_shards_a_second": round(late, 1),
            "growth": round(early / late, 2),
            "rss_bytes": rss,
            **last.since(first, self.shards),
        }

    async def _plan(self) -> tuple[work.PlanExtraction, dict[str, Any]]:
        order = await self._take(subjects.WORK_PLAN, work.PlanExtraction)
        layout = self.stack.layout
        settings = ExtractorSettings(
            model_cache_dir=layout.models,
            dataset_cache_dir=layout.datasets,
            activation_cache_dir=layout.activations,
        )
        whole = order.model_copy(update={"store_key": "f" * 32, "most_shards": None})
        cpu, begun = time.process_time(), time.monotonic()
        report = await asyncio.to_thread(Planning(Layout(settings)).plan, whole, lambda: False)
        if report is None:
            raise SystemExit("the plan was called off")
        seconds, used = time.monotonic() - begun, time.process_time() - cpu
        return order, {
            "tokens": report.tokens,
            "tokens_a_second": round(report.tokens / seconds),
            "tokens_a_cpu_second": round(report.tokens / used),
        }

    def _long_plan(self, order: work.PlanExtraction) -> tuple[reports.ExtractionPlannedReport, int]:
        report = reports.ExtractionPlannedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            samples=self.shards * 128,
            tokens=self.shards * 1024,
            cuts=[ShardCut(samples=128, tokens=1024)] * self.shards,
            columns=[ColumnPlan(hook_point=each, shards_there=0) for each in order.hook_points],
        )
        return report, len(report.model_dump_json())

    async def _answer_orders(self) -> list[float]:
        """Be many extractors whose capture takes no time; return when each shard was ordered."""
        marks: list[float] = []

        async def be_one() -> None:
            pull = await self.jetstream.pull_subscribe_bind(
                subjects.WORK_SHARD.durable(POOL), stream="WORK"
            )
            while len(marks) < self.shards:
                try:
                    (message,) = await pull.fetch(1, timeout=2)
                except asyncio.TimeoutError:
                    continue
                order = work.CaptureShard.model_validate_json(message.data)
                marks.append(time.monotonic())
                await self._publish(subjects.REPORT_SHARD, captured(order))
                await message.ack()
            await pull.unsubscribe()

        await asyncio.gather(*(be_one() for _ in range(STAND_INS)))
        await self._take(subjects.WORK_COMMIT, work.CommitExtraction)
        return marks

    async def _heartbeats(self) -> dict[str, Any]:
        say(f"heartbeats of {self.devices} devices")
        names = [f"dev_{number}" for number in range(self.devices)]
        await self._all_beat(names)
        before, begun = _cpu(self.stack.pid("catalog")), time.monotonic()
        orders = await self._all_beat(names)
        seconds = time.monotonic() - begun
        return {
            "devices": self.devices,
            "a_second": round(self.devices / seconds, 1),
            "catalog_cpu_seconds_each": round(
                (_cpu(self.stack.pid("catalog")) - before) / self.devices, 5
            ),
            "again_after_seconds": orders.again_after_seconds,
        }

    async def _all_beat(self, names: list[str]) -> rpc.DeviceOrders:
        waiting = iter(names)
        answers: list[rpc.DeviceOrders] = []

        async def some() -> None:
            for name in waiting:
                answers.append(await self._beat(name))

        await asyncio.gather(*(some() for _ in range(16)))
        return answers[-1]

    async def _beat(self, name: str) -> rpc.DeviceOrders:
        report = reports.DeviceReport(
            device_id=name,
            pool=POOL,
            kind="cpu",
            name=name,
            started_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
            memory_total_bytes=1 << 34,
            memory_budget_bytes=1 << 33,
            memory_used_bytes=0,
        )
        answer = await call(self.broker, subjects.RPC_DEVICE_REPORT, report, timeout=60)
        return rpc.DeviceOrders.model_validate(answer)

    async def _take(self, subject: subjects.Subject, kind: type[Any]) -> Any:
        pull = await self.jetstream.pull_subscribe_bind(subject.durable(POOL), stream="WORK")
        (message,) = await pull.fetch(1, timeout=120)
        await message.ack()
        await pull.unsubscribe()
        return kind.model_validate_json(message.data)

    async def _publish(self, subject: subjects.Subject, report: Any) -> None:
        await self.publisher.publish(
            subject, report, entity_id=report.extraction_id, msg_id=new_id("msg")
        )


def captured(order: work.CaptureShard) -> reports.ShardCapturedReport:
    """Return what an extractor tells of a shard."""
    return reports.ShardCapturedReport(
        task_id=order.task_id,
        extraction_id=order.extraction_id,
        shard_index=order.shard.index,
        device_id="dev_bench",
        files=[
            ColumnFile(
                hook_point=point,
                path=f"{point}/{order.shard.index:05}.safetensors",
                bytes=1 << 20,
                sha256="0" * 64,
            )
            for point in order.shard.hook_points
        ],
        tokens=order.shard.tokens,
        seconds=0.1,
    )


def stores(root: Path) -> Iterator[dict[str, Any]]:
    """Commit stores of many shards with next to no rows."""
    for shards, columns in STORES:
        say(f"a store of {shards} shards and {columns} columns")
        store = root / f"{shards}x{columns}"
        names = [f"layers.{number}.resid_post" for number in range(columns)]
        fill(store, shards, names)
        with timed() as took:
            commit(
                store,
                columns={
                    name: [shard_file(store, name, i, 1) for i in range(shards)] for name in names
                },
                token_shards=[token_file(store, index) for index in range(shards)],
                info={},
            )
        with timed() as opening:
            open(store)
        size = (store / "manifest.json").stat().st_size
        yield {
            "shards": shards,
            "columns": columns,
            "commit_seconds": round(took[0], 3),
            "open_seconds": round(opening[0], 3),
            "manifest_bytes": size,
            "manifest_bytes_a_file": round(size / shards / (columns + 1), 1),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


def fill(store: Path, shards: int, names: list[str]) -> None:
    row = np.ones((1, 4), np.float32)
    for index in range(shards):
        ids, offsets = np.zeros(1, np.int32), np.array([0, 1], np.int64)
        write_tokens(store, index, ids, offsets, np.array([index], np.int64))
        for name in names:
            with ShardWriter(store, name, index, 1, 4, "float32") as writer:
                writer.write(0, row)
                writer.close()


@contextmanager
def timed() -> Iterator[list[float]]:
    taken: list[float] = []
    begun = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - begun)


def say(what: str) -> None:
    Console(stderr=True).print(f"… {what}")


def show(result: dict[str, Any]) -> None:
    """Print the figures that a plan is made of."""
    table = Table("", "figure", title="What a shard costs")
    real, catalog = result["a_shard"], result["catalog"]
    for name, value in (
        ("stored messages a shard, real", sum(real["stored_messages"].values())),
        ("Postgres transactions a shard, real", real["postgres_transactions"]),
        ("WAL bytes a shard, real", real["wal_bytes"]),
        ("shards a second, catalog alone", catalog["shards_a_second"]),
        ("early ÷ late", catalog["growth"]),
        ("plan message, bytes a shard", catalog["plan_message_bytes"] / catalog["shards"]),
        ("heartbeats a second", result["heartbeats"]["a_second"]),
        ("planning, tokens a second", result["planning"]["tokens_a_second"]),
    ):
        table.add_row(name, f"{value:,.2f}")
    for each in result["commits"]:
        label = f"commit of {each['shards']} shards × {each['columns']}"
        table.add_row(label, f"{each['commit_seconds']} s, {each['manifest_bytes']:,} bytes")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=4000, help="Of the long plan.")
    parser.add_argument("--devices", type=int, default=1000)
    arguments = parser.parse_args()
    env = {"LOAD_REQUESTS_PER_HOUR": "1000", "SHARD_TOKENS": "256", "LOG_LEVEL": "WARNING"}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        model = make_model(home / "models" / "gpt2", "gpt2")
        texts = write_jsonl(home / "texts.jsonl", ragged_texts(600, seed=1))
        allow = [home / "models"]
        with EmbeddedStack(home / "data", allow=allow, env=env, services=SERVICES) as stack:
            bench = Bench(stack, arguments.shards, arguments.devices)
            result = asyncio.run(bench.run(model, texts, home / "extractors"))
        # The rest takes minutes on a disk that is slow to sync.
        write_result("scaling", result)
        result["commits"] = list(stores(home / "stores"))
    show(result)
    write_result("scaling", result)


if __name__ == "__main__":
    main()
