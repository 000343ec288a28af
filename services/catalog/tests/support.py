"""Everybody but the catalog: a gateway that asks, workers that report, a listener to events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from faststream.nats import NatsBroker
from nats.errors import TimeoutError as NoMessage
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.factory import create_app
from mistudio_catalog.storage.database import POOL_MOST, Database
from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.base import new_id, utcnow
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.states import (
    DatasetFormat,
    DatasetSource,
    Dtype,
    LoadStage,
    Quantization,
    Source,
)
from mistudio_contracts.subjects import Subject
from mistudio_contracts.values import (
    Artifact,
    ColumnFile,
    ColumnPlan,
    ColumnSummary,
    DatasetFacts,
    Failure,
    HookKindFacts,
    HookPointFacts,
    ModelFacts,
    PlanCursor,
    ResidentModel,
    ShardCut,
    Skipped,
)
from mistudio_servicekit.bus import Publisher, create_broker
from mistudio_servicekit.lifecycle import Life
from mistudio_servicekit.rpc import call, serve
from mistudio_servicekit.tasks import cancel
from mistudio_servicekit.telemetry import metrics_of
from mistudio_servicekit.testing import running
from mistudio_testkit import bus

PATIENCE = 15.0
DEVICE = "dev_one"
T = TypeVar("T", bound=BaseModel)


def facts(**changes: Any) -> ModelFacts:
    known = ModelFacts(
        model_type="gpt2",
        architecture="GPT2LMHeadModel",
        config={"n_embd": 64},
        parameter_count=1_000_000,
        hidden_size=64,
        num_layers=12,
        vocab_size=512,
        context_length=128,
        dtype=Dtype.FLOAT32,
        weight_bytes=4_000_000,
    )
    return known.model_copy(update=changes)


def fingerprint_of(identifier: str, quantization: Quantization = Quantization.NONE) -> str:
    return (f"{identifier}{quantization}".encode().hex() + "0" * 32)[:32]


class World:
    """The surroundings of one or more running catalogs."""

    def __init__(self, settings: CatalogSettings) -> None:
        self.settings = settings
        self.broker: NatsBroker = create_broker(settings, "test")
        self.publisher = Publisher(self.broker, "test")
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.inspect: Callable[[rpc.InspectModelRequest], ModelFacts] = lambda _: facts()
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._js: JetStreamContext
        self.life: Life
        self._controls: list[tuple[str, bytes]] = []

    @property
    def metrics(self) -> CollectorRegistry:
        """What the one catalog shows to Prometheus."""
        return metrics_of(self.life.app.broker).registry

    async def open(self) -> None:
        async def inspect(request: rpc.InspectModelRequest) -> ModelFacts:
            return self.inspect(request)

        serve(self.broker, subjects.RPC_INSPECT, inspect)
        await self.broker.start()
        client = await self.broker.connect()
        self._js = client.jetstream()
        for stream in ("EVENTS", "PROGRESS"):
            names = await self._js.subscribe(">", stream=stream, ordered_consumer=True)
            self._tasks.append(asyncio.create_task(self._follow(names)))
        control = await client.subscribe("control.>")
        self._tasks.append(asyncio.create_task(self._follow(control)))
        await client.flush()  # The server knows of every subscription before it is asked anything.

    async def _follow(self, subscription: Any) -> None:
        try:
            async for message in subscription.messages:
                async with self._changed:
                    self.seen.append((message.subject, json.loads(message.data)))
                    self._changed.notify_all()
        finally:
            # The end of the connection would wait for what nobody reads any more.
            await subscription.unsubscribe()

    async def close(self) -> None:
        await cancel(*self._tasks)
        await self.broker.stop()

    async def ask(self, subject: Subject, request: BaseModel, kind: type[T]) -> T:
        answer = await call(self.broker, subject, request, timeout=10.0)
        assert isinstance(answer, kind)
        return answer

    async def refusal(self, subject: Subject, request: BaseModel) -> MiStudioError:
        try:
            answer = await call(self.broker, subject, request, timeout=10.0)
        except MiStudioError as error:
            return error
        raise AssertionError(f"accepted: {answer!r}")

    async def answer(self, subject: Subject, handler: Any) -> None:
        """Answer a request subject from now on, as a worker does."""
        client = await self.broker.connect()

        async def reply(message: Any) -> None:
            answer: rpc.Reply[Any]
            try:
                found = await handler(subject.payload.model_validate_json(message.data))
                answer = rpc.Reply(result=found.model_dump())
            except MiStudioError as error:
                answer = rpc.Reply(error=error.body())
            await message.respond(answer.model_dump_json().encode())

        await client.subscribe(subject.name("default"), cb=reply)
        await client.flush()

    async def publish(self, subject: Subject, message: BaseModel, msg_id: str | None = None) -> str:
        identifier = msg_id or new_id("msg")
        await self.publisher.publish(subject, message, entity_id="x", msg_id=identifier)
        return identifier

    def events(self, subject: Subject, **match: Any) -> list[dict[str, Any]]:
        name = subject.name()
        return [
            data
            for at, data in self.seen
            if at == name and all(data.get(key) == value for key, value in match.items())
        ]

    async def event(self, subject: Subject, count: int = 1, **match: Any) -> dict[str, Any]:
        """Wait for the ``count``-th event like this."""

        async def arrive() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: len(self.events(subject, **match)) >= count)

        try:
            await asyncio.wait_for(arrive(), PATIENCE)
        except asyncio.TimeoutError:
            names = [name for name, _ in self.seen]
            raise AssertionError(f"no {subject.name()} {match}; seen: {names}") from None
        return self.events(subject, **match)[count - 1]

    async def order(self, subject: Subject, kind: type[T], timeout: float = PATIENCE) -> T:
        """Take one work order, as a worker does."""
        pull = await self._js.pull_subscribe_bind(subject.durable(), stream="WORK")
        try:
            (message,) = await pull.fetch(1, timeout=timeout)
        except (NoMessage, asyncio.TimeoutError):
            raise AssertionError(f"no order {subject.name()}") from None
        finally:
            await pull.unsubscribe()
        await message.ack_sync()
        return kind.model_validate_json(message.data)

    async def kept(self, subject: Subject) -> list[dict[str, Any]]:
        """Return what the EVENTS stream itself holds of a subject, in order."""
        info = await self._js.stream_info("EVENTS")
        first, last = int(info.state.first_seq), int(info.state.last_seq)
        messages = [await self._js.get_msg("EVENTS", seq) for seq in range(first, last + 1)]
        return [json.loads(m.data or b"{}") for m in messages if m.subject == subject.name()]

    async def lose(self, stream: str) -> None:
        """Delete a stream, as an operator's mistake does."""
        await self._js.delete_stream(stream)

    async def pending(self, subject: Subject) -> int:
        """Return how many orders of a subject nobody has done."""
        return await bus.kept(self._js, subject)

    # ---- models ----

    async def register(self, name: str = "tiny", **more: Any) -> views.Model:
        request = rpc.RegisterModelRequest(
            **{
                "name": name,
                "source": Source.HUGGINGFACE,
                "model_identifier": f"owner/{name}",
                "actor": "alice",
                **more,
            }
        )
        return await self.ask(subjects.RPC_MODEL_REGISTER, request, views.Model)

    async def model(self, model_id: str) -> views.Model:
        request = rpc.GetModelRequest(model_id=model_id)
        return await self.ask(subjects.RPC_MODEL_GET, request, views.Model)

    async def load(self, model_id: str, **more: Any) -> views.LoadAccepted:
        request = rpc.LoadModelRequest(model_id=model_id, **{"actor": "alice", **more})
        return await self.ask(subjects.RPC_MODEL_LOAD, request, views.LoadAccepted)

    async def prepare(self) -> w.PrepareModel:
        """Do one preparation, as a loader does."""
        order = await self.order(subjects.WORK_PREPARE, w.PrepareModel)
        await self.publish(subjects.REPORT_PREPARED, prepared(order))
        return order

    async def place(self) -> w.PlaceModel:
        """Do one placing, as an extractor does."""
        order = await self.order(subjects.WORK_PLACE, w.PlaceModel)
        await self.publish(subjects.REPORT_PLACED, placed(order))
        return order

    async def ready_model(self, name: str = "tiny", **more: Any) -> views.Model:
        model = await self.register(name, **more)
        await self.load(model.id)
        await self.prepare()
        await self.place()
        await self.event(subjects.MODEL_READY, model_id=model.id)
        return await self.model(model.id)

    async def heartbeat(
        self,
        residents: dict[str, str] | None = None,
        *,
        device_id: str = DEVICE,
        started_at: datetime | None = None,
        used: int = 0,
        budget: int = 6_000,
        **more: Any,
    ) -> rpc.DeviceOrders:
        """Say that a device lives, holding ``residents`` (model id → fingerprint)."""
        report = r.DeviceReport(
            device_id=device_id,
            pool="default",
            kind="cpu",
            name=device_id,
            started_at=started_at or datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
            memory_total_bytes=budget + 2_000,
            memory_budget_bytes=budget,
            memory_used_bytes=used,
            residents=[
                ResidentModel(model_id=key, fingerprint=value, memory_usage_bytes=10)
                for key, value in (residents or {}).items()
            ],
            **more,
        )
        return await self.ask(subjects.RPC_DEVICE_REPORT, report, rpc.DeviceOrders)

    async def unload(self, model_id: str) -> views.Model:
        request = rpc.UnloadModelRequest(model_id=model_id)
        return await self.ask(subjects.RPC_MODEL_UNLOAD, request, views.Model)

    async def unloaded_model(self, name: str = "tiny") -> views.Model:
        model = await self.ready_model(name)
        leaving = await self.unload(model.id)
        await self.publish(subjects.REPORT_EVICTED, evicted(model.id, leaving.task_id or ""))
        await self.event(subjects.MODEL_UNLOADED, model_id=model.id)
        return await self.model(model.id)

    # ---- datasets ----

    async def register_dataset(self, name: str = "texts", **more: Any) -> views.Dataset:
        request = rpc.RegisterDatasetRequest(
            **{"name": name, "source": DatasetSource.UPLOAD, "identifier": f"{name}.jsonl", **more}
        )
        return await self.ask(subjects.RPC_DATASET_REGISTER, request, views.Dataset)

    async def dataset(self, dataset_id: str) -> views.Dataset:
        request = rpc.GetDatasetRequest(dataset_id=dataset_id)
        return await self.ask(subjects.RPC_DATASET_GET, request, views.Dataset)

    async def ready_dataset(self, name: str = "texts", samples: int = 100) -> views.Dataset:
        dataset = await self.register_dataset(name)
        order = await self.order(subjects.WORK_INGEST, w.IngestDataset)
        await self.publish(subjects.REPORT_INGESTED, ingested(order, samples))
        await self.event(subjects.DATASET_READY, dataset_id=dataset.id)
        return await self.dataset(dataset.id)

    # ---- extractions ----

    async def request(
        self, model_id: str, dataset_id: str, layers: list[int], **more: Any
    ) -> views.ExtractionAccepted:
        return await self.ask(
            subjects.RPC_EXTRACTION_REQUEST,
            asking(model_id, dataset_id, layers, **more),
            views.ExtractionAccepted,
        )

    async def extraction(self, extraction_id: str) -> views.Extraction:
        request = rpc.GetExtractionRequest(extraction_id=extraction_id)
        return await self.ask(subjects.RPC_EXTRACTION_GET, request, views.Extraction)

    async def plan(self, shards: int = 1, compute: bool = True) -> w.PlanExtraction:
        """Do one plan, as an extractor does."""
        order = await self.order(subjects.WORK_PLAN, w.PlanExtraction)
        await self.publish(subjects.REPORT_PLANNED, planned(order, shards, compute))
        return order

    async def plan_part(self, shards: int, *, rows: int) -> w.PlanExtraction:
        """Do a part of a plan up to row ``rows``, a token a row."""
        order = await self.order(subjects.WORK_PLAN, w.PlanExtraction)
        await self.publish(subjects.REPORT_PLANNED, part(order, shards, rows))
        return order

    async def capture(self) -> w.CaptureShard:
        """Capture one shard, as an extractor does."""
        order = await self.order(subjects.WORK_SHARD, w.CaptureShard)
        await self.publish(subjects.REPORT_SHARD, captured(order))
        return order

    async def commit(self, **told: Any) -> w.CommitExtraction:
        """Do one commit, as an extractor does; ``told`` is said of each column."""
        order = await self.order(subjects.WORK_COMMIT, w.CommitExtraction)
        await self.publish(subjects.REPORT_COMMITTED, committed(order, **told))
        return order

    async def extract(
        self, model_id: str, dataset_id: str, layers: list[int], shards: int = 2, **more: Any
    ) -> views.Extraction:
        accepted = await self.request(model_id, dataset_id, layers, **more)
        await self.plan(shards)
        for _ in range(shards):
            await self.capture()
        await self.commit()
        await self.event(subjects.EXTRACTION_COMPLETED, extraction_id=accepted.extraction_id)
        return await self.extraction(accepted.extraction_id)


PROVEN = HookPointFacts(
    kinds=[
        HookKindFacts(kind="embed", width=64),
        HookKindFacts(kind="q", width=64, heads=4),
        HookKindFacts(kind="k", width=16, heads=1),
        HookKindFacts(kind="resid_post", width=64),
    ],
    refused={"resid_mid": "attention and MLP both read the block's input"},
)


def asking(model_id: str, dataset_id: str, layers: list[int], **more: Any) -> rpc.ExtractionRequest:
    outer = {key: more.pop(key) for key in ("actor", "idempotency_key") if key in more}
    command = {
        "model_id": model_id,
        "dataset_id": dataset_id,
        "layer_indices": layers,
        **more,
    }
    return rpc.ExtractionRequest(command=command, **outer)


def prepared(order: w.PrepareModel) -> r.ModelPreparedReport:
    cast = {Quantization.FP16: Dtype.FLOAT16, Quantization.BF16: Dtype.BFLOAT16}
    return r.ModelPreparedReport(
        task_id=order.task_id,
        model_id=order.model_id,
        facts=facts(),
        artifact=Artifact(
            fingerprint=fingerprint_of(order.model_identifier, order.quantization),
            quantization=order.quantization,
            dtype=cast.get(order.quantization, Dtype.FLOAT32),
            bytes=4_000_000,
        ),
        seconds=0.1,
    )


def placed(order: w.PlaceModel, device_id: str = DEVICE) -> r.ModelPlacedReport:
    return r.ModelPlacedReport(
        task_id=order.task_id,
        model_id=order.model_id,
        device_id=device_id,
        memory_usage_bytes=5_000_000,
        hook_points=PROVEN,
        seconds=0.1,
    )


def evicted(model_id: str, task_id: str, reason: str = "requested") -> r.ModelEvictedReport:
    return r.ModelEvictedReport(
        task_id=task_id, model_id=model_id, device_id=DEVICE, reason=reason, freed_bytes=5_000_000
    )


def failure(message: str = "It broke.", **details: Any) -> Failure:
    return Failure(error=MiStudioError(message, **details).body())


def loading(task_id: str, model_id: str, progress: float, stage: str) -> r.LoadProgressedReport:
    return r.LoadProgressedReport(
        task_id=task_id, model_id=model_id, stage=LoadStage(stage), progress=progress
    )


def ingested(order: w.IngestDataset, samples: int = 100) -> r.DatasetIngestedReport:
    return r.DatasetIngestedReport(
        task_id=order.task_id,
        dataset_id=order.dataset_id,
        facts=DatasetFacts(
            fingerprint=fingerprint_of(order.identifier),
            format=DatasetFormat.JSONL,
            sample_count=samples,
            file_size_bytes=1000,
            columns={"text": "text", "ids": "tokens", "label": "other"},
            text_column="text",
            preview=[{"text": "a\u0000b", "label": None}],
        ),
    )


def planned(
    order: w.PlanExtraction, shards: int = 1, compute: bool = True
) -> r.ExtractionPlannedReport:
    total = order.sample_count or order.dataset.sample_count
    each = max(total // shards, 1)
    return r.ExtractionPlannedReport(
        task_id=order.task_id,
        extraction_id=order.extraction_id,
        samples=each * shards,
        tokens=each * shards * 10,
        skipped=Skipped(empty=total - each * shards),
        cuts=[ShardCut(samples=each, tokens=each * 10)] * shards,
        columns=[
            ColumnPlan(hook_point=point, shards_there=0 if compute else shards)
            for point in order.hook_points
        ],
    )


def part(order: w.PlanExtraction, shards: int, rows: int) -> r.ExtractionPlannedReport:
    """Return the part of a plan that ends before ``rows``, every row a sample of one token."""
    begin = order.begin or PlanCursor(row=0, shards=0, samples=0, tokens=0)
    each = (rows - begin.row) // shards
    end = PlanCursor(row=rows, shards=begin.shards + shards, samples=rows, tokens=rows)
    return r.ExtractionPlannedReport(
        task_id=order.task_id,
        extraction_id=order.extraction_id,
        samples=rows,
        tokens=rows,
        cuts=[ShardCut(samples=each, tokens=each)] * shards,
        columns=[ColumnPlan(hook_point=point, shards_there=0) for point in order.hook_points],
        first=begin.shards,
        first_sample=begin.samples,
        next=end if rows < (order.sample_count or order.dataset.sample_count) else None,
    )


def captured(order: w.CaptureShard) -> r.ShardCapturedReport:
    return r.ShardCapturedReport(
        task_id=order.task_id,
        extraction_id=order.extraction_id,
        shard_index=order.shard.index,
        device_id=DEVICE,
        files=[
            ColumnFile(
                hook_point=hook,
                path=f"{hook}/{order.shard.index:05}.safetensors",
                bytes=order.shard.tokens * 256,
                sha256="0" * 64,
            )
            for hook in order.shard.hook_points
        ],
        tokens=order.shard.tokens,
        seconds=0.5,
    )


def committed(
    order: w.CommitExtraction, hooks: list[str] | None = None, **told: Any
) -> r.ExtractionCommittedReport:
    return r.ExtractionCommittedReport(
        task_id=order.task_id,
        extraction_id=order.extraction_id,
        storage_path=f"/activations/{order.store_key}",
        columns=[
            ColumnSummary(
                hook_point=hook, tokens=order.tokens, width=64, bytes=order.tokens * 256, **told
            )
            for hook in (order.hook_points if hooks is None else hooks)
        ],
        token_bytes=order.tokens * 4,
    )


@asynccontextmanager
async def open_database(url: str, most: int = POOL_MOST) -> AsyncIterator[Database]:
    """Open the catalog's storage, beside the catalogs that work on it."""
    database = Database(url, most)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def running_world(settings: CatalogSettings, replicas: int = 1) -> AsyncIterator[World]:
    """Run catalogs and their surroundings."""
    world = World(settings)
    await world.open()
    try:
        apps = [create_app(settings) for _ in range(replicas)]
        if replicas == 1:
            async with running(apps[0]) as world.life:
                yield world
        else:
            async with running(apps[0]), running(apps[1]):
                yield world
    finally:
        await world.close()


def now() -> datetime:
    return utcnow()
