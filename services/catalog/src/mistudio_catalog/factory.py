"""The only place where the catalog's parts meet the bus and the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import nats.errors
from faststream.nats import NatsBroker
from prometheus_client import Gauge
from pydantic import BaseModel

from mistudio_contracts import subjects
from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.looking import TokenLengths
from mistudio_contracts.rpc import ExtractionProbe
from mistudio_contracts.subjects import Kind, Subject, of_kind
from mistudio_contracts.values import ModelFacts
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import Publisher, create_broker, declare_publishers
from mistudio_servicekit.rpc import call
from mistudio_servicekit.telemetry import metrics_of

from .config import CatalogSettings
from .domain.outgoing import Outgoing
from .handlers.commands import register_commands
from .handlers.reports import register_reports
from .handlers.requests import register_requests
from .services.catalog import Catalog
from .services.context import Context
from .services.driver import Driver, Step
from .services.relay import Relay
from .storage.database import Database

log = logging.getLogger(__name__)
Answer = TypeVar("Answer", bound=BaseModel)

NAME = "catalog"
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
    catalog = Catalog(context, _QueuesEmpty(broker))
    movement.steps.extend(catalog.movements)
    relay = Relay(database, Publisher(broker, NAME), catalog.unsendable)
    database.on_commit = relay.wake
    lag = _OutboxLag(broker, database)
    watching: list[Step] = [catalog.devices.expire, catalog.loads.end_stalled, lag.measure]
    watch = Driver("watch", watching, WATCH_SECONDS)
    reconcile = Driver("reconcile", [catalog.reconcile.give_again], settings.reconcile_seconds)
    housekeeping = Driver(
        "housekeeping", [catalog.reconcile.forget, catalog.retention.sweep], HOUSEKEEPING_SECONDS
    )
    loops = (relay, movement, watch, reconcile, housekeeping)

    register_commands(broker, catalog)
    register_reports(broker, catalog)
    register_requests(broker, catalog)
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


class _QueuesEmpty:
    """Asks the server whether an order, or a report on one, is still on its way."""

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker

    async def __call__(self, order: Outgoing) -> bool:
        jetstream = (await self._broker.connect()).jetstream()
        durables = [(order.subject, order.pool)]
        durables += [(subject, "default") for subject in of_kind(Kind.REPORT)]
        for subject, pool in durables:
            try:
                info = await jetstream.consumer_info(subject.stream or "", subject.durable(pool))
            except (nats.errors.Error, asyncio.TimeoutError) as error:
                log.warning("A queue cannot be looked at.", extra={"error": repr(error)})
                return False
            if info.num_pending or info.num_ack_pending:
                return False
        return True


class _OutboxLag:
    """What the relay has yet to publish, for Prometheus."""

    def __init__(self, broker: NatsBroker, database: Database) -> None:
        registry = metrics_of(broker).registry
        self._database = database
        self._messages = Gauge(
            "mistudio_catalog_outbox_messages",
            "Messages that wait in the outbox.",
            registry=registry,
        )
        self._seconds = Gauge(
            "mistudio_catalog_outbox_lag_seconds",
            "How long the oldest message of the outbox has waited.",
            registry=registry,
        )

    async def measure(self) -> None:
        async with self._database.reading() as tx:
            messages, seconds = await tx.outbox.lag()
        self._messages.set(messages)
        self._seconds.set(seconds)
