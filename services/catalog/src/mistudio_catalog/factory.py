"""The only place where the catalog's parts meet the bus and the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from faststream.nats import NatsBroker
from pydantic import BaseModel

from mistudio_contracts import subjects
from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.looking import TokenLengths
from mistudio_contracts.rpc import ExtractionProbe, StoreCheck
from mistudio_contracts.subjects import Kind, Subject, of_kind
from mistudio_contracts.values import ModelFacts
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import Publisher, create_broker, declare_publishers
from mistudio_servicekit.rpc import call
from mistudio_servicekit.telemetry import metrics_of

from .config import CatalogSettings
from .handlers.commands import register_commands
from .handlers.reports import register_reports
from .handlers.requests import register_requests
from .letters import DeadLetters
from .metrics import Metrics
from .queues import QueueMeasures, QueuesEmpty
from .services.catalog import Catalog
from .services.context import Context
from .services.driver import Driver, Step
from .services.measures import Measures
from .services.relay import Relay
from .services.tally import Tally
from .storage.database import Database

Answer = TypeVar("Answer", bound=BaseModel)

NAME = "catalog"
GIB = 1024**3
CONNECT_ATTEMPTS = 30
WATCH_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 600.0


def create_app(settings: CatalogSettings) -> ServiceApp:
    """Return the catalog, wired and not yet running."""
    broker = create_broker(settings, NAME)
    database = Database(settings.database_url)
    movement = Driver("movement", [], settings.reconcile_seconds)
    asking = partial(_asking, broker, settings.pool)
    context = Context(
        database,
        settings,
        inspect=asking(subjects.RPC_INSPECT, ModelFacts, settings.inspect_seconds),
        probe=asking(subjects.RPC_PROBE, ExtractionProbe, settings.probe_seconds),
        count_tokens=asking(subjects.RPC_COUNT_TOKENS, TokenLengths, settings.count_seconds),
        wake=movement.wake,
    )
    check_store = asking(subjects.RPC_STORE_CHECK, StoreCheck, settings.probe_seconds)
    catalog = Catalog(context, QueuesEmpty(broker, settings.edge), check_store)
    movement.steps.extend(catalog.movements)
    relay = Relay(database, Publisher(broker, NAME), catalog.unsendable)
    database.on_commit = relay.wake
    metrics = Metrics(metrics_of(broker).meters)
    database.on_change = Tally(metrics).committed
    database.on_acquired = metrics.acquire_seconds.observe
    measures = Measures(database, metrics, int(settings.activation_cache_limit_gb * GIB))
    watch = Driver("watch", [catalog.devices.expire, catalog.loads.end_stalled], WATCH_SECONDS)
    reconciling: list[Step] = [
        catalog.reconcile.set_back,
        catalog.reconcile.give_again,
        catalog.presence.check,
    ]
    reconcile = Driver("reconcile", reconciling, settings.reconcile_seconds)
    housekeeping = Driver(
        "housekeeping",
        [catalog.reconcile.forget, catalog.retention.sweep, catalog.retention.sweep_models],
        HOUSEKEEPING_SECONDS,
    )
    loops = (relay, movement, watch, reconcile, housekeeping)

    register_commands(broker, catalog)
    register_reports(broker, catalog)
    register_requests(broker, catalog, DeadLetters(broker))
    declare_publishers(broker, _published(), settings.pool)

    async def open_database() -> None:
        await _open(database)

    return ServiceApp(
        name=NAME,
        broker=broker,
        on_start=[open_database],
        on_started=[loop.start for loop in loops],
        on_stop=[*(loop.stop for loop in reversed(loops)), database.close],
        ready={"database": database.answers},
        measures={
            "rows": measures.rows,
            "connections": measures.connections,
            "queues": QueueMeasures(broker, metrics).read,
        },
    )


def _published() -> list[Subject]:
    kinds = of_kind(Kind.WORK, Kind.EVENT, Kind.PROGRESS, Kind.CONTROL)
    return [subject for subject in kinds if subject.publisher == "catalog"]


async def _open(database: Database) -> None:
    for attempt in range(1, CONNECT_ATTEMPTS + 1):
        try:
            await database.open()
        except ServiceUnavailable:
            if attempt == CONNECT_ATTEMPTS:
                raise
            await asyncio.sleep(1.0)
        else:
            return


def _asking(
    broker: NatsBroker, pool: str, subject: Subject, answer: type[Answer], seconds: float
) -> Callable[[BaseModel], Awaitable[Answer]]:
    """Return how a worker of the pool is asked about something."""

    async def ask(request: BaseModel) -> Answer:
        found = await call(broker, subject, request, pool=pool, timeout=seconds)
        if not isinstance(found, answer):
            raise TypeError(f"{subject.pattern} was not answered with {answer.__name__}")
        return found

    return ask
