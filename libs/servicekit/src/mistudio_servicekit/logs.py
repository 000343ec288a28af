"""JSON lines on standard output, each with the trace it belongs to and without credentials.

Where the environment names them, a collector gets the same records and Sentry the errors.
"""

import logging
import os
import re
import sys
from datetime import datetime, timezone

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

from mistudio_contracts.base import CONTRACT_VERSION

_CREDENTIALS = re.compile(r"(?<=://)[^/\s:@]*:[^@\s/]*(?=@)")
_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s"
_NAMES = {"asctime": "time", "levelname": "level", "name": "logger"}


class _Line(JsonFormatter):
    """Adds the service and the trace, and hides user and password of any URL."""

    def __init__(self, service: str) -> None:
        super().__init__(
            _FIELDS,
            rename_fields=_NAMES,
            static_fields={"service": service},
            json_ensure_ascii=False,
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the moment as ISO 8601 in UTC."""
        moment = datetime.fromtimestamp(record.created, tz=timezone.utc)
        return moment.isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            record.trace_id = f"{span.trace_id:032x}"
            record.span_id = f"{span.span_id:016x}"
        return _without_credentials(super().format(record))


def _without_credentials(text: str) -> str:
    return _CREDENTIALS.sub("***", text)


def configure(service: str, level: str) -> None:
    """Send every log record of the process to standard output, one JSON object a line.

    With ``OTEL_EXPORTER_OTLP_ENDPOINT`` they also go there, with ``SENTRY_DSN`` errors there.

    Parameters
    ----------
    service
        The name written into each line.
    level
        The lowest level that is written.

    Raises
    ------
    ValueError
        When ``SENTRY_DSN`` is no address of a Sentry project.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries that attach handlers of their own would write lines that are not JSON.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "faststream"):
        other = logging.getLogger(name)
        other.handlers.clear()
        other.propagate = True
    logging.captureWarnings(True)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from .shipping import Shipped

        root.addHandler(Shipped(service, _without_credentials))
    if os.environ.get("SENTRY_DSN"):
        from .sentry import report_errors

        report_errors(service, release=CONTRACT_VERSION)


def flush() -> None:
    """Write out and send what is buffered, as far as that takes no longer than a moment."""
    if os.environ.get("SENTRY_DSN"):
        from .sentry import flush

        flush()
    logging.shutdown()
