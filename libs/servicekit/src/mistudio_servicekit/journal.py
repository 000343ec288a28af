"""Spans on the disk until they are sent: what a killed process was at is told by its successor."""

import contextlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from .telemetry import sending_of

log = logging.getLogger(__name__)

DIED = "process_died"
MOST = 10_000
"""Spans that are kept at once; a collector that is away for long must not fill the disk."""


def keep_journal(service: str, directory: Path) -> None:
    """Send what the process before this one could not, and keep account from now on.

    A span is sent some time after it ends, so that what a killed process was at never is, and what
    it had just done may not be: what belongs to it would hang in the air. Each span is written down
    when it begins and when it ends, until it is sent. What the next process finds it sends: as it
    was, or where it had not ended as failed with ``process_died``, ended now. Nothing is done where
    spans do not leave the process, or where another one that lives keeps this journal.

    Parameters
    ----------
    service
        Whose spans.
    directory
        Of this process and those that take its place, and of nobody else.
    """
    sending = sending_of(service)
    if sending is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / "lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.warning("Another process keeps the journal of spans.")
        return
    for span in _left(directory, sending.provider.resource):
        sending.processor.on_end(span)
    journal = Journal(directory, lock)
    sending.on_gone = journal.forget
    sending.provider.add_span_processor(journal)


class Journal(SpanProcessor):
    """A file for each span that is not sent yet."""

    def __init__(self, directory: Path, lock: FileLock) -> None:
        self._directory = directory
        self._lock = lock
        self._kept: set[int] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if len(self._kept) < MOST:
            self._kept.add(_context(span).span_id)
            self._write(span)

    def on_end(self, span: ReadableSpan) -> None:
        if _context(span).span_id in self._kept:
            self._write(span)

    def forget(self, spans: Sequence[ReadableSpan]) -> None:
        """Let go of spans that were sent, or given up."""
        for span in spans:
            self._kept.discard(_context(span).span_id)
            with contextlib.suppress(OSError):
                self._file(span).unlink(missing_ok=True)

    def shutdown(self) -> None:
        self._lock.release()

    def _write(self, span: ReadableSpan) -> None:
        with contextlib.suppress(OSError):  # A full disk must not end the work.
            self._file(span).write_text(json.dumps(_written(span)), encoding="utf-8")

    def _file(self, span: ReadableSpan) -> Path:
        return self._directory / f"{_context(span).span_id:016x}.json"


def _context(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    if found is None:
        raise TypeError("a span of no trace")
    return found


def _written(span: ReadableSpan) -> dict[str, Any]:
    context, parent, ended = _context(span), span.parent, span.end_time is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace_id": context.trace_id,
        "span_id": context.span_id,
        "parent_id": parent.span_id if parent else None,
        "start_time": span.start_time,
        "end_time": span.end_time,
        "status": span.status.status_code.name if ended else None,
        "told": span.status.description,
        "attributes": dict(span.attributes or {}),
    }


def _left(directory: Path, resource: Resource) -> Iterator[ReadableSpan]:
    for file in sorted(directory.glob("*.json")):
        try:
            yield _read(json.loads(file.read_text(encoding="utf-8")), resource)
        except (ValueError, KeyError):
            log.info("A span in the journal is not whole: the process was killed as it wrote.")
        file.unlink(missing_ok=True)


def _read(written: dict[str, Any], resource: Resource) -> ReadableSpan:
    def of(span_id: int, *, remote: bool) -> SpanContext:
        return SpanContext(written["trace_id"], span_id, remote, TraceFlags(TraceFlags.SAMPLED))

    parent, ended = written["parent_id"], written["end_time"] is not None
    died = Status(StatusCode.ERROR, "The process ended before this did.")
    return ReadableSpan(
        name=written["name"],
        context=of(written["span_id"], remote=False),
        parent=None if parent is None else of(parent, remote=True),
        resource=resource,
        attributes=written["attributes"] | ({} if ended else {"error.type": DIED}),
        kind=SpanKind[written["kind"]],
        status=Status(StatusCode[written["status"]], written["told"]) if ended else died,
        start_time=written["start_time"],
        end_time=written["end_time"] or time.time_ns(),
    )
