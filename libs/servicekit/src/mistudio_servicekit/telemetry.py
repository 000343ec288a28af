"""Tracing and metrics: one tracer provider a process, one registry a broker."""

import os
import threading

from faststream.nats import NatsBroker
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest

_providers: dict[str, TracerProvider] = {}
FLUSH_SECONDS = 1.5
_ATTRIBUTE = "_mistudio_metrics"


class Metrics:
    """What the kit counts for one broker, beside FastStream's own metrics.

    Labels are subjects of the contract and fixed words, so their number is bounded.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.handled = Counter(
            "mistudio_messages_handled",
            "Messages of durable consumers, by what became of them.",
            ["subject", "outcome"],
            registry=registry,
        )
        self.requests = Counter(
            "mistudio_requests_answered",
            "Requests answered, by error code, or ok.",
            ["subject", "code"],
            registry=registry,
        )
        self.published = Counter(
            "mistudio_messages_published",
            "Messages published, by outcome.",
            ["subject", "outcome"],
            registry=registry,
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
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        if not _providers:
            trace.set_tracer_provider(provider)
        _providers[service] = provider
    return _providers[service]


def flush_traces() -> None:
    """Send what is still buffered, as far as that takes no longer than a moment."""
    flushing = [
        threading.Thread(target=provider.shutdown, daemon=True) for provider in _providers.values()
    ]
    _providers.clear()
    for thread in flushing:
        thread.start()
    for thread in flushing:
        thread.join(FLUSH_SECONDS)
