"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP and keeps what it is sent.

No collector comes from the package indexes that tests install from. What is sent is read with the
protocol's own definitions, so that a real one would take it too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from typing_extensions import Self

PATIENCE = 60.0


@dataclass(frozen=True)
class Sent:
    """A span as it was sent; ids in hexadecimal, ``parent`` empty for the first of a trace."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    told: str
    events: int

    def __str__(self) -> str:
        return f"{self.service}: {self.name}"


@dataclass(frozen=True)
class Line:
    """A log record as it was sent."""

    service: str
    severity: str
    message: str
    trace: str
    span: str
    attributes: dict[str, Any]


class Collector:
    """Listens on a port of its own while the block runs."""

    def __init__(self) -> None:
        self._spans: list[Sent] = []
        self._lines: list[Line] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What ``OTEL_EXPORTER_OTLP_ENDPOINT`` must say."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def trace(self, trace_id: str) -> list[Sent]:
        """Return the spans of a trace that have come."""
        with self._changed:
            return [span for span in self._spans if span.trace == trace_id]

    def lines(self, trace_id: str) -> list[Line]:
        """Return the log records of a trace that have come."""
        with self._changed:
            return [line for line in self._lines if line.trace == trace_id]

    def everything(self) -> str:
        """Return all that has come, to look for what must not."""
        with self._changed:
            return repr((self._spans, self._lines))

    def wait(self, condition: Callable[[], bool], told: Callable[[], str]) -> None:
        """Wait until what has come fulfils a condition; ``told`` explains the failure.

        Raises
        ------
        AssertionError
            When it does not within :data:`PATIENCE` seconds.
        """
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), told()

    def _take(self, path: str, body: bytes) -> None:
        with self._changed:
            if path == "/v1/traces":
                self._spans += _spans(ExportTraceServiceRequest.FromString(body))
            else:
                self._lines += _lines(ExportLogsServiceRequest.FromString(body))
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                known = self.path in ("/v1/traces", "/v1/logs")
                if known:
                    collector._take(self.path, body)
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler


def _spans(request: ExportTraceServiceRequest) -> list[Sent]:
    return [
        Sent(
            service=_service(resource.resource.attributes),
            name=span.name,
            kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            attributes=_plain(span.attributes),
            failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
            told=span.status.message,
            events=len(span.events),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _lines(request: ExportLogsServiceRequest) -> list[Line]:
    return [
        Line(
            service=_service(resource.resource.attributes),
            severity=record.severity_text,
            message=record.body.string_value,
            trace=record.trace_id.hex(),
            span=record.span_id.hex(),
            attributes=_plain(record.attributes),
        )
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def _service(attributes: Any) -> str:
    return str(_plain(attributes)["service.name"]).removeprefix("mistudio-")


def _plain(attributes: list[KeyValue]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)
