"""The only wiring: from settings to an application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from faststream.exceptions import IncorrectState
from nats.aio.client import Client
from starlette.middleware import Middleware

from mistudio_contracts.errors import ServiceUnavailable
from mistudio_servicekit.bus import create_broker
from mistudio_servicekit.tasks import cancel
from mistudio_servicekit.telemetry import metrics_of

from .config import GatewaySettings
from .context import Gateway
from .handlers import (
    access,
    archives,
    audit,
    caches,
    datasets,
    devices,
    estimates,
    extractions,
    health,
    letters,
    looking,
    models,
    web,
)
from .handlers.socket import events_socket
from .metrics import Metrics
from .rest import errors, openapi
from .rest.middleware import Compressed, Cors, LastResort, Observed
from .services.catalog import Catalog
from .services.feed import Feed
from .services.hub import Hub
from .services.present import Present
from .services.stores import Stores
from .services.tokens import tokens_of
from .services.uploads import Uploads

OPERATIONS = (
    models.operations,
    estimates.operations,
    extractions.operations,
    datasets.operations,
    caches.operations,
    looking.operations,
    archives.operations,
    devices.operations,
    audit.operations,
    letters.operations,
    access.operations,
)
ALLOWED_METHODS = ("GET", "POST", "PATCH", "DELETE")
ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Range",
    "traceparent",
)
EXPOSED_HEADERS = (
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "X-Trace-Id",
)


def build(settings: GatewaySettings) -> Gateway:
    """Return the parts of a gateway, not yet connected to anything."""
    broker = create_broker(settings, "gateway")

    def connection() -> Client:
        try:
            return broker.connection
        except IncorrectState as error:
            raise ServiceUnavailable(
                "The bus is not connected.",
                reason="bus_unavailable",
                remedy="Try again in a moment.",
            ) from error

    hub = Hub(settings.ring_events, settings.ring_bytes)
    catalog = Catalog(broker, settings.pool, settings.rpc_timeout_seconds)
    return Gateway(
        settings=settings,
        broker=broker,
        metrics=Metrics(metrics_of(broker).meters),
        tokens=tokens_of(settings),
        catalog=catalog,
        stores=Stores(catalog, connection),
        uploads=Uploads(connection),
        hub=hub,
        feed=Feed(connection, hub),
        present=Present(catalog),
    )


async def _start(gateway: Gateway) -> None:
    await gateway.broker.start()
    await gateway.feed.start()


def create_app(settings: GatewaySettings) -> FastAPI:
    """Return the application. Nothing is connected before it starts.

    Parameters
    ----------
    settings
        For an OpenAPI document alone, :meth:`GatewaySettings.ephemeral` will do.
    """
    gateway = build(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Not waited for: without a bus the process still says that it lives and why it cannot
        # serve, and can be told to stop.
        starting = asyncio.create_task(_start(gateway))
        try:
            yield
        finally:
            await cancel(starting)
            await gateway.tokens.close()
            await gateway.feed.stop()
            await gateway.broker.stop()

    app = FastAPI(
        # Ours has one span a request, none for health pages and hours of a WebSocket, and no
        # exception in it.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        middleware=[
            Middleware(Observed, metrics=gateway.metrics),
            Middleware(
                Cors,
                allow_origins=settings.cors_origins,
                allow_methods=ALLOWED_METHODS,
                allow_headers=ALLOWED_HEADERS,
                expose_headers=EXPOSED_HEADERS,
                max_age=600,
            ),
            Middleware(Compressed),
            Middleware(LastResort),
        ],
    )
    app.state.gateway = gateway
    errors.install(app)
    for operations in OPERATIONS:
        operations.install(app)
    archives.install(app)
    health.install(app)
    app.add_api_websocket_route("/ws", events_socket)
    web.install(app, settings.web_dir)

    def document() -> dict[str, Any]:
        return openapi.describe(app)

    app.openapi = document  # type: ignore[method-assign]
    return app
