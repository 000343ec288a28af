"""A real bus, a catalog that answers as told, and the gateway on a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect

from mistudio_contracts import events, looking, rpc, views
from mistudio_contracts.states import ExtractionStatus, ModelStatus, Scope
from mistudio_contracts.subjects import ALL, Kind, Subject
from mistudio_gateway.config import GatewaySettings
from mistudio_gateway.factory import create_app
from mistudio_gateway.main import server_options
from mistudio_servicekit.auth import issue_token
from mistudio_servicekit.bus import Publisher, create_broker
from mistudio_servicekit.provision import provision
from mistudio_servicekit.rpc import serve
from mistudio_servicekit.settings import ServiceSettings
from mistudio_testkit.servers import nats_server

SECRET = "a secret that is long enough for HS256 and the tests"
NOW = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=timezone.utc)
Answer = Callable[[Any], BaseModel]
DEADLINE = 15.0


def a_model(**changes: Any) -> views.Model:
    values = {
        "id": "m_gpt2_1",
        "name": "GPT-2",
        "source": "huggingface",
        "model_identifier": "gpt2",
        "quantization": "none",
        "status": "pending",
        "config": {"n_layer": 12},
        "created_at": NOW,
        "updated_at": NOW,
    }
    return views.Model.model_validate({**values, **changes})


def an_estimate(**changes: Any) -> views.Estimate:
    parts = ("weights", "quantization_state", "activations", "captured", "workspace", "slack")
    values = {
        "model_identifier": "gpt2",
        "budget_bytes": 6 << 30,
        "used_bytes": 0,
        "formats": [
            {
                "quantization": "none",
                "total_bytes": 1 << 30,
                "parts": {f"{part}_bytes": 1 for part in parts},
                "fit": "now",
                "batch_size": 8,
                "sequence_length": 1024,
                "disk_bytes": 1 << 29,
            }
        ],
        "recommended": "none",
        "message": "Choose none.",
    }
    return views.Estimate.model_validate({**values, **changes})


def a_dataset(**changes: Any) -> views.Dataset:
    values = {
        "id": "ds_1",
        "name": "prose",
        "source": "upload",
        "identifier": "object",
        "status": "ingesting",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return views.Dataset.model_validate({**values, **changes})


def an_extraction(**changes: Any) -> views.Extraction:
    values = {
        "extraction_id": "ext_1",
        "model_id": "m_gpt2_1",
        "dataset_id": "ds_1",
        "status": "extracting",
        "layer_indices": [0],
        "hook_points": ["layers.0.resid_post"],
        "dtype": "float32",
        "tokenization": {},
        "created_at": NOW,
        "updated_at": NOW,
    }
    return views.Extraction.model_validate({**values, **changes})


def a_cache(**changes: Any) -> views.Cache:
    values = {
        "id": "act_1",
        "model_id": "m_gpt2_1",
        "store_key": "ab" * 16,
        "storage_path": "activations/abab",
        "dtype": "float32",
        "tokenization": {},
        "sample_count": 1,
        "token_count": 2,
        "layer_indices": [0],
        "hook_points": ["layers.0.resid_post"],
        "activation_shape": [2, 8],
        "file_size_bytes": 64,
        "created_at": NOW,
        "last_accessed_at": NOW,
    }
    return views.Cache.model_validate({**values, **changes})


def lengths(**changes: Any) -> looking.TokenLengths:
    values = {
        "column": "text",
        "rows_counted": 1,
        "total_rows": 1,
        "tokens": 3,
        "estimated_total_tokens": 3,
        "shortest": 3,
        "median": 3,
        "longest": 3,
        "context_length": 1024,
        "over_context": 0,
        "bins": [{"from_tokens": 3, "to_tokens": 3, "rows": 1}],
    }
    return looking.TokenLengths.model_validate({**values, **changes})


def a_heat_map(**changes: Any) -> looking.HeatMap:
    values = {
        "hook_point": "layers.0.resid_post",
        "measure": "norm",
        "width": 8,
        "first_sample": 0,
        "total_samples": 1,
        "samples": [],
    }
    return looking.HeatMap.model_validate({**values, **changes})


def _usual() -> dict[str, Answer]:
    """Return what the catalog answers when a test says nothing else."""

    def model(request: Any) -> BaseModel:
        return a_model(id=getattr(request, "model_id", "m_gpt2_1"))

    def done(request: Any) -> BaseModel:
        return rpc.Done()

    page = {"total": 0, "limit": 50, "offset": 0}
    return {
        "rpc.catalog.model.register": model,
        "rpc.catalog.model.list": lambda r: views.ModelPage(models=[], **page),
        "rpc.catalog.model.get": model,
        "rpc.catalog.hookpoint.list": lambda r: views.HookPointList(
            model_id=r.model_id, num_layers=12, hook_points=[]
        ),
        "rpc.catalog.model.update": model,
        "rpc.catalog.model.delete": done,
        "rpc.catalog.model.load": lambda r: views.LoadAccepted(
            id=r.model_id,
            status=ModelStatus.LOADING,
            task_id="task_1",
            message="Model loading initiated",
        ),
        "rpc.catalog.model.unload": model,
        "rpc.catalog.model.load.cancel": model,
        "rpc.catalog.model.estimate": lambda r: an_estimate(model_id=r.model_id),
        "rpc.catalog.checkpoint.estimate": lambda r: an_estimate(
            model_identifier=r.model_identifier
        ),
        "rpc.catalog.dataset.register": lambda r: a_dataset(
            name=r.name, source=r.source, identifier=r.identifier
        ),
        "rpc.catalog.dataset.list": lambda r: views.DatasetPage(datasets=[], **page),
        "rpc.catalog.dataset.get": lambda r: a_dataset(id=r.dataset_id),
        "rpc.catalog.dataset.delete": done,
        "rpc.catalog.extraction.request": lambda r: views.ExtractionAccepted(
            extraction_id="ext_1", status=ExtractionStatus.QUEUED, message="queued"
        ),
        "rpc.catalog.extraction.estimate": lambda r: views.ExtractionEstimate(
            estimated_time_seconds=1.5, estimated_bytes=100
        ),
        "rpc.catalog.extraction.list": lambda r: views.ExtractionPage(extractions=[], **page),
        "rpc.catalog.extraction.get": lambda r: an_extraction(extraction_id=r.extraction_id),
        "rpc.catalog.extraction.cancel": lambda r: an_extraction(
            extraction_id=r.extraction_id, status="cancelled"
        ),
        "rpc.catalog.cache.list": lambda r: views.CachePage(activations=[], **page),
        "rpc.catalog.cache.get": lambda r: a_cache(id=r.cache_id),
        "rpc.catalog.cache.evict": done,
        "rpc.catalog.dataset.lengths": lambda r: lengths(column=r.column or "text"),
        "rpc.catalog.audit.list": lambda r: views.AuditPage(entries=[], **page),
        "rpc.catalog.deadletter.list": lambda r: views.DeadLetterPage(dead_letters=[], total=0),
        "rpc.catalog.deadletter.get": lambda r: views.DeadLetterDetail(
            sequence=r.sequence,
            subject="model.load.requested",
            message_id="cmd_1",
            code="INTERNAL_ERROR",
            reason="unexpected",
            bytes=2,
            payload="{}",
        ),
        "rpc.catalog.deadletter.replay": lambda r: views.Replayed(sequence=1),
        "rpc.catalog.deadletter.discard": done,
        "rpc.catalog.device.list": lambda r: views.DevicePage(devices=[], total=0),
        "rpc.store.{pool}.files": lambda r: views.StoreFiles(
            store_key=r.store_key, files=[views.StoreFile(path="manifest.json", bytes=2)]
        ),
        "rpc.store.{pool}.norms": lambda r: looking.Norms(
            hook_points=r.hook_points,
            positions=[0],
            longest=1,
            mean_norms=[[None]],
            tokens_read=1,
            total_tokens=1,
        ),
        "rpc.store.{pool}.heatmap": lambda r: a_heat_map(
            hook_point=r.hook_point, measure=r.along.measure, first_sample=r.first_sample
        ),
        "rpc.store.{pool}.toptokens": lambda r: looking.TopTokens(
            hook_point=r.hook_point,
            measure=r.along.measure,
            width=8,
            tokens=[],
            tokens_read=2,
            total_tokens=2,
        ),
        "rpc.store.{pool}.read": lambda r: rpc.FileChunk(data="e30=", total_bytes=2, eof=True),
        "rpc.store.{pool}.verify": lambda r: views.StoreVerification(
            verified_files=1, verified_bytes=2, total_files=3, total_bytes=6, next="a/1"
        ),
    }


@dataclass
class Catalog:
    """Answers every question the gateway asks, on a real bus, and remembers them.

    ``answers`` maps a subject to what answers it: a function of the request, which may raise.
    """

    url: str
    publisher: Publisher
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, subject: Subject, answer: Answer) -> None:
        self.answers[subject.pattern] = answer

    def refuse(self, subject: Subject, error: Exception) -> None:
        def raise_it(request: Any) -> BaseModel:
            raise error

        self.answers[subject.pattern] = raise_it

    def last(self, subject: Subject) -> Any:
        return [request for name, request in self.asked if name == subject.pattern][-1]

    def reset(self) -> None:
        self.answers = _usual()
        self.asked.clear()

    def handler(self, subject: Subject) -> Callable[[Any], Awaitable[BaseModel]]:
        async def handle(request: Any) -> BaseModel:
            self.asked.append((subject.pattern, request))
            return self.answers[subject.pattern](request)

        return handle

    async def publish(self, event: events.Event, entity_id: str = "x_1") -> int:
        """Publish an event or progress on the stream of its kind; return its sequence."""
        subject = next(s for s in ALL if s.payload is type(event))
        sequence = await self.publisher.publish(subject, event, entity_id=entity_id)
        assert sequence is not None
        return sequence


@asynccontextmanager
async def running_catalog(
    url: str, services: tuple[str, ...] = ("catalog", "extractor")
) -> AsyncIterator[Catalog]:
    """Answer what is asked of these services, as the first of them."""
    broker = create_broker(ServiceSettings(nats_url=url), services[0])
    catalog = Catalog(url, Publisher(broker, "catalog"))
    catalog.reset()
    for subject in ALL:
        asked = subject.kind is Kind.REQUEST and subject.publisher == "gateway"
        if asked and subject.reader in services:
            serve(broker, subject, catalog.handler(subject))
    await broker.start()
    try:
        yield catalog
    finally:
        await broker.stop()


@dataclass
class Running:
    """A gateway on a port of its own."""

    app: Any
    port: int
    connections: set[Any]
    """What uvicorn holds open."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


@asynccontextmanager
async def running_gateway(url: str, **changes: Any) -> AsyncIterator[Running]:
    values = {
        "jwt_secret_key": SECRET,
        "nats_url": url,
        "rpc_timeout_seconds": 3.0,
        # Not the web UI, which is built on some machines and not on others.
        "web_dir": None,
        **changes,
    }
    app = create_app(GatewaySettings(**values))
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, **server_options(), lifespan="on")
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done())
        port = server.servers[0].sockets[0].getsockname()[1]
        feed = app.state.gateway.feed
        await until(lambda: feed.following and feed.progress_following)
        yield Running(app, port, server.server_state.connections)
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, DEADLINE)


async def until(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    """Wait until a condition holds."""
    end = asyncio.get_running_loop().time() + deadline
    while not condition():
        assert asyncio.get_running_loop().time() < end, "the condition did not come to hold"
        await asyncio.sleep(0.005)


def token(*scopes: Scope, subject: str = "ann", lifetime: timedelta = timedelta(hours=1)) -> str:
    return issue_token(SECRET, subject, scopes or (Scope.ADMIN,), lifetime)


@pytest_asyncio.fixture(scope="session")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One NATS server for all tests that leave it alive."""
    with nats_server(tmp_path_factory.mktemp("nats")) as url:
        await provision(url, ("default",))
        yield url


@pytest_asyncio.fixture(scope="session")
async def only_catalog(bus: str) -> AsyncIterator[Catalog]:
    async with running_catalog(bus) as catalog:
        yield catalog


@pytest.fixture
def catalog(only_catalog: Catalog) -> Catalog:
    """The catalog, with its usual answers."""
    only_catalog.reset()
    return only_catalog


@pytest_asyncio.fixture(scope="session")
async def gateway(bus: str, only_catalog: Catalog) -> AsyncIterator[Running]:
    """One gateway for all tests that do not change its settings."""
    async with running_gateway(
        bus,
        cors_origins="https://ui.example",
        max_upload_bytes=400_000,
        max_body_bytes=64 * 1024,
        socket_auth_seconds=0.3,
    ) as running:
        yield running


@pytest_asyncio.fixture
async def http(gateway: Running, catalog: Catalog) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose token may do everything."""
    headers = {"Authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=20) as client:
        yield client


@dataclass
class Listener:
    """A WebSocket client that reads frames."""

    connection: ClientConnection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await asyncio.wait_for(self.connection.recv(), DEADLINE))
        return frame

    async def until_type(self, kind: str) -> dict[str, Any]:
        while True:
            frame = await self.next()
            if frame["type"] == kind:
                return frame

    async def subscribe(self, **selection: Any) -> dict[str, Any]:
        await self.send(subscribe=selection)
        return await self.until_type("subscribed")


@asynccontextmanager
async def listening(running: Running, *scopes: Scope, **options: Any) -> AsyncIterator[Listener]:
    """Connect and authenticate by subprotocol."""
    async with connect(
        running.ws, subprotocols=["mistudio.v1", f"bearer.{token(*scopes)}"], **options
    ) as connection:
        yield Listener(connection)


class Kit:
    """What tests of this folder build with, reached by one fixture."""

    model = staticmethod(a_model)
    dataset = staticmethod(a_dataset)
    extraction = staticmethod(an_extraction)
    cache = staticmethod(a_cache)
    token = staticmethod(token)
    until = staticmethod(until)
    listening = staticmethod(listening)
    listener = staticmethod(Listener)
    running_gateway = staticmethod(running_gateway)
    running_catalog = staticmethod(running_catalog)
    NOW = NOW
    SECRET = SECRET


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
