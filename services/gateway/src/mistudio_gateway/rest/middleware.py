"""Around every request: trace, access log, latency, last resort, compression."""

from __future__ import annotations

import logging
import time
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mistudio_contracts.errors import Forbidden
from mistudio_gateway.metrics import METHODS, Metrics

from .errors import error_response, unexpected
from .trace import KEY, new_trace_id, trace_id_of

access = logging.getLogger("mistudio_gateway.access")
logger = logging.getLogger(__name__)

WATCHED = ("/health", "/metrics")
"""Asked by machines every few seconds: nobody reads a line about it."""

UNTRACED = (*WATCHED, "/assets/")
"""What is asked for again and again, or goes no further than this process."""

SERVER_ERROR = 500
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
OVER_TLS = {**SECURITY_HEADERS, "Strict-Transport-Security": "max-age=31536000"}
"""For a year a browser comes by https alone. Of this host: others of its domain are not ours."""


class Observed:
    """Outermost: gives each request a trace, measures it and writes one line about it.

    The trace is the caller's where its ``traceparent`` names one.

    Parameters
    ----------
    app
        What is measured.
    metrics
        Told of each request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = trace.get_tracer("mistudio_gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._metrics.in_progress.track_inprogress():
            await self._traced(scope, receive, send)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(UNTRACED):
            scope[KEY] = new_trace_id(INVALID_SPAN)
            await self._measured(scope, receive, send, INVALID_SPAN)
            return
        context = propagate.extract(dict(Headers(scope=scope)))
        with self._tracer.start_as_current_span(
            scope["method"],
            context=context,
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "url.scheme": scope["scheme"],
            },
            # They would carry paths and messages of the system's inside.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            scope[KEY] = new_trace_id(span)
            await self._measured(scope, receive, send, span)

    async def _measured(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
        began = time.perf_counter()
        status = 500
        sent = 0

        async def observe(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Trace-Id"] = scope[KEY]
                # As a browser came: uvicorn takes the scheme from proxies that it trusts.
                added = OVER_TLS if scope["scheme"] == "https" else SECURITY_HEADERS
                for name, value in added.items():
                    headers.setdefault(name, value)
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            seconds = time.perf_counter() - began
            route = route_template(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.latency.labels(method, route, str(status)).observe(seconds)
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            if status >= SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", str(status))
            access.log(
                logging.DEBUG if route.startswith(WATCHED) else logging.INFO,
                "request",
                extra=_access_line(scope, route, status, seconds, sent),
            )


def _access_line(
    scope: Scope, route: str, status: int, seconds: float, sent: int
) -> dict[str, Any]:
    principal = scope.get("state", {}).get("principal")
    return {
        "method": scope["method"],
        "route": route,
        "path": scope["path"],
        "status": status,
        "seconds": round(seconds, 6),
        "bytes": sent,
        "actor": None if principal is None else principal.subject,
        "client": scope["client"][0] if scope.get("client") else None,
        "trace_id": scope[KEY],
    }


def route_template(scope: Scope) -> str:
    """Return the template of the route that answered: a label with few values."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return str(path) if path else "other"


class LastResort:
    """Innermost but for the application: an error nobody foresaw becomes INTERNAL_ERROR."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception:
            trace_id = trace_id_of(scope)
            logger.exception("an unexpected error", extra={"trace_id": trace_id})
            if begun:
                # Too late for an answer: the broken connection says that it is incomplete.
                raise
            await error_response(unexpected(trace_id))(scope, receive, send)


class Compressed:
    """GZip for what is worth it; what is stored goes as it is, with its length."""

    def __init__(self, app: ASGIApp, minimum_size: int = 1024) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, minimum_size=minimum_size, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        plain = scope["type"] != "http" or "/files/" in path or path.endswith("/archive")
        await (self._app if plain else self._gzip)(scope, receive, send)


class Cors(CORSMiddleware):
    """Starlette's CORS, whose refusals are the contract's errors too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        kept = {
            name: value
            for name, value in answer.headers.items()
            if name.startswith("access-control-") or name == "vary"
        }
        refusal = Forbidden(
            "This origin, method or header is not allowed.",
            reason="cors",
            remedy="Add the page's origin to CORS_ORIGINS.",
        )
        return error_response(refusal.body(), kept)
