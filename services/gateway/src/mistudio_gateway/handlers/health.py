"""/health and /metrics: for whoever runs the process; no token needed."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from mistudio_contracts.errors import ErrorCode, ServiceUnavailable
from mistudio_gateway.rest.operations import error_answers
from mistudio_gateway.rest.parameters import Here
from mistudio_servicekit.telemetry import render_metrics


class Health(BaseModel):
    """``status`` is ``ok`` or ``degraded``; ``checks`` says of each part whether it works."""

    status: str
    checks: dict[str, bool] = {}


async def live() -> Health:
    """Say that the process runs."""
    return Health(status="ok")


async def ready(here: Here) -> Health:
    """Say whether requests can be served and events are being followed."""
    checks = {
        "bus": await here.broker.ping(timeout=1.0),
        "events": here.feed.following,
        "progress": here.feed.progress_following,
    }
    # Without live progress everything else works, and the state can still be read.
    if not (checks["bus"] and checks["events"]):
        raise ServiceUnavailable(
            "The gateway is not ready.", reason="not_ready", checks=checks, remedy="Wait a moment."
        )
    return Health(status="ok" if checks["progress"] else "degraded", checks=checks)


async def metrics(here: Here) -> Response:
    """Show metrics in Prometheus' text format."""
    return Response(render_metrics(here.broker), media_type=CONTENT_TYPE_LATEST)


def install(app: FastAPI) -> None:
    """Add the routes to an application."""
    unavailable = error_answers((ErrorCode.SERVICE_UNAVAILABLE,))
    app.add_api_route("/health/live", live, methods=["GET"], tags=["health"], operation_id="live")
    app.add_api_route(
        "/health/ready",
        ready,
        methods=["GET"],
        tags=["health"],
        operation_id="ready",
        responses={**unavailable},
    )
    app.add_api_route(
        "/metrics",
        metrics,
        methods=["GET"],
        tags=["health"],
        operation_id="metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
