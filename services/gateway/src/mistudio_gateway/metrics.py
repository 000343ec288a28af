"""What Prometheus sees of a gateway."""

from __future__ import annotations

from mistudio_servicekit.metering import ELSEWHERE, SHORT_SECONDS, Meters

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
"""A client may send any word for a method; the label takes these."""


class Metrics:
    """The gateway's own metrics.

    Parameters
    ----------
    meters
        Where they are declared.
    """

    def __init__(self, meters: Meters) -> None:
        self.latency = meters.histogram(
            "mistudio_gateway_request_seconds",
            "Seconds from a request's arrival to its answer's end, by the route's template.",
            SHORT_SECONDS,
            method=ELSEWHERE,
            route=ELSEWHERE,
            status=ELSEWHERE,
        )
        self.in_progress = meters.gauge(
            "mistudio_gateway_requests_in_progress", "Requests that are being answered."
        )
        self.clients = meters.gauge(
            "mistudio_gateway_websocket_clients",
            "WebSocket clients connected and authenticated.",
        )
        self.frames = meters.counter(
            "mistudio_gateway_websocket_frames_total", "Frames sent to WebSocket clients."
        )
        self.delay = meters.histogram(
            "mistudio_gateway_websocket_delay_seconds",
            "Seconds from an event's moment to its frame, for clients that are up to date.",
            SHORT_SECONDS,
        )
        self.lagging = meters.counter(
            "mistudio_gateway_websocket_lagging_clients_total",
            "WebSocket clients sent away because they were too slow.",
        )
        self.upload_bytes = meters.counter(
            "mistudio_gateway_upload_bytes_total", "Bytes of datasets received."
        )
