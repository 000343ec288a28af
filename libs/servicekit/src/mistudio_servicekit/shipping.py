"""Log records on their way to a collector, as OTLP; imported only where there is one."""

import logging
import threading
from collections.abc import Callable

from opentelemetry import context
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from .telemetry import FLUSH_SECONDS

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OWN = ("opentelemetry", "urllib3")
"""Loggers of the shipping itself: what they say of a collector that is away must not go there."""

_SEVERITIES = (
    (logging.CRITICAL, "FATAL", SeverityNumber.FATAL),
    (logging.ERROR, "ERROR", SeverityNumber.ERROR),
    (logging.WARNING, "WARN", SeverityNumber.WARN),
    (logging.INFO, "INFO", SeverityNumber.INFO),
)


class Shipped(logging.Handler):
    """Sends each record to the collector, in the background and with its span.

    Parameters
    ----------
    service
        The name that the collector knows the process by.
    clean
        Takes credentials out of a text.
    """

    def __init__(self, service: str, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean
        self._provider = LoggerProvider(
            resource=Resource.create({"service.name": f"mistudio-{service}"}),
            shutdown_on_exit=False,
        )
        self._provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        self._errors = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record over; nothing waits for the network."""
        if record.name.startswith(_OWN):
            return
        text, number = _severity(record.levelno)
        attributes = {
            key: self._clean(str(value)) if not isinstance(value, bool | int | float) else value
            for key, value in vars(record).items()
            if key not in _STANDARD and value is not None
        }
        if record.exc_info and record.exc_info[0] is not None:
            attributes["exception.type"] = record.exc_info[0].__qualname__
            trace = self._errors.formatException(record.exc_info)
            attributes["exception.stacktrace"] = self._clean(trace)
        self._provider.get_logger(record.name).emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                context=context.get_current(),
                severity_text=text,
                severity_number=number,
                body=self._clean(record.getMessage()),
                attributes=attributes,
            )
        )

    def close(self) -> None:
        """Send what is left, as far as that takes no longer than a moment."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)
        super().close()


def _severity(level: int) -> tuple[str, SeverityNumber]:
    for least, text, number in _SEVERITIES:
        if level >= least:
            return text, number
    return "DEBUG", SeverityNumber.DEBUG
