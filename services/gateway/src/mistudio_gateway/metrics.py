"""What Prometheus sees of a gateway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The gateway's own series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.latency = Histogram(
            "mistudio_gateway_request_seconds",
            "Seconds from a request's arrival to its answer's end.",
            ("method", "route", "status"),
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.clients = Gauge(
            "mistudio_gateway_websocket_clients",
            "WebSocket clients connected and authenticated.",
            registry=self.registry,
        )
        self.frames = Counter(
            "mistudio_gateway_websocket_frames",
            "Frames sent to WebSocket clients.",
            registry=self.registry,
        )
        self.lagging = Counter(
            "mistudio_gateway_websocket_lagging_clients",
            "WebSocket clients sent away because they were too slow.",
            registry=self.registry,
        )
        self.upload_bytes = Counter(
            "mistudio_gateway_upload_bytes",
            "Bytes of datasets received.",
            registry=self.registry,
        )
