"""Tracing and metrics: one tracer provider a process, one registry a broker."""

import os
import threading
from collections.abc import Callable, Sequence

from faststream.nats import NatsBroker
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from .metering import ELSEWHERE, Meters

_providers: dict[str, TracerProvider] = {}
_exporters: dict[str, "Sending"] = {}
FLUSH_SECONDS = 1.5
_ATTRIBUTE = "_mistudio_metrics"


HANDLED = (
    "ok",
    "retried",
    "refused",
    "dead",
    "unreadable",
    "put_off",
    "interrupted",
    "unsettled",
)
"""What becomes of a message of a durable subject."""

HEARD = ("ok", "failed", "unreadable")
"""What becomes of one that no stream keeps."""


class Metrics:
    """What the kit counts for one broker, beside FastStream's own metrics.

    Labels are subjects of the contract and fixed words, so their number is bounded. A service
    declares its own metrics with ``meters``.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.meters = Meters(registry)
        self.handled = self.meters.counter(
            "mistudio_messages_handled_total",
            "Messages handled, by what became of them.",
            subject=ELSEWHERE,
            outcome=tuple(dict.fromkeys(HANDLED + HEARD)),
        )
        self.requests = self.meters.counter(
            "mistudio_requests_answered_total",
            "Requests answered on the bus, by error code, or ok.",
            subject=ELSEWHERE,
            code=ELSEWHERE,
        )
        self.published = self.meters.counter(
            "mistudio_messages_published_total",
            "Messages published, by outcome.",
            subject=ELSEWHERE,
            outcome=("ok", "failed"),
        )
        self.measured = self.meters.gauge(
            "mistudio_measured",
            "Whether what is read when somebody looks could be read (1) or not (0).",
            measure=ELSEWHERE,
        )


def register_metrics(broker: NatsBroker, registry: CollectorRegistry) -> Metrics:
    """Let the kit count this broker's messages in ``registry``."""
    metrics = Metrics(registry)
    setattr(broker, _ATTRIBUTE, metrics)
    return metrics


def metrics_of(broker: NatsBroker) -> Metrics:
    """Return the broker's metrics, with a registry of its own if none was given."""
    found: Metrics | None = getattr(broker, _ATTRIBUTE, None)
    return found or register_metrics(broker, CollectorRegistry())


def render_metrics(broker: NatsBroker) -> bytes:
    """Return the broker's and the process's metrics in Prometheus' text format."""
    return generate_latest(metrics_of(broker).registry) + generate_latest(REGISTRY)


def tracer_provider(service: str) -> TracerProvider:
    """Return the process's tracer provider for ``service``.

    Spans are made always, so that logs and messages carry a trace id; they leave the process
    only where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says so.
    """
    if service not in _providers:
        # Left to the interpreter, the last export would wait for a collector that is away.
        provider = TracerProvider(
            resource=Resource.create({"service.name": f"mistudio-{service}"}),
            shutdown_on_exit=False,
        )
        if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            # The exporter and its HTTP client cost a tenth of a second: only for who wants them.
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            _exporters[service] = Sending(provider, OTLPSpanExporter())
        if not _providers:
            trace.set_tracer_provider(provider)
        _providers[service] = provider
    return _providers[service]


class Sending(SpanExporter):
    """The way of a provider's spans out of the process: in the background, in batches.

    Parameters
    ----------
    provider
        Whose spans.
    exporter
        Sends a batch, or gives it up.

    Attributes
    ----------
    on_gone
        Called, on the sending thread, with spans that were sent or given up.
    """

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        self.provider = provider
        self._exporter = exporter
        self.on_gone: Callable[[Sequence[ReadableSpan]], None] = lambda _: None
        self.processor: SpanProcessor = BatchSpanProcessor(self)
        provider.add_span_processor(self.processor)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            return self._exporter.export(spans)
        finally:
            self.on_gone(spans)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def sending_of(service: str) -> Sending | None:
    """Return what sends the spans of a service; None where they stay in the process."""
    tracer_provider(service)
    return _exporters.get(service)


def flush_traces() -> None:
    """Send what is still buffered, as far as that takes no longer than a moment."""
    flushing = [
        threading.Thread(target=sending.processor.shutdown, daemon=True)
        for sending in _exporters.values()
    ]
    _exporters.clear()
    for thread in flushing:
        thread.start()
    for thread in flushing:
        thread.join(FLUSH_SECONDS)
