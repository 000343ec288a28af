"""Spans of messages and of work, by OpenTelemetry's conventions, and how a trace goes on.

A span says that something failed by its status and ``error.type``; exceptions and stack traces
stay in the log.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from faststream import BaseMiddleware
from faststream.message import StreamMessage
from faststream.nats.response import NatsPublishCommand
from faststream.response import PublishType
from nats.aio.msg import Msg
from nats.errors import NotJSMessageError
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.subjects import RPC_DEVICE_REPORT, Kind, of_kind

from .headers import ID, SOURCE, SUBJECT, TYPE

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = "traceparent"
_SCOPE = "mistudio"
_INBOX = "_INBOX"

UNTRACED = frozenset(
    subject.pattern for subject in (*of_kind(Kind.LIVE, Kind.PROGRESS), RPC_DEVICE_REPORT)
)
"""What is said many times a second, or for ever: a trace goes through it, but has no span of it."""

_CLOUDEVENTS = {
    "cloudevents.event_id": ID,
    "cloudevents.event_type": TYPE,
    "cloudevents.event_source": SOURCE,
    "cloudevents.event_subject": SUBJECT,
}


def traceparent() -> str | None:
    """Return the present span as a ``traceparent`` header; None outside of any."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_TRACEPARENT)


@contextlib.contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """Let what is done meanwhile belong to the span that a ``traceparent`` names.

    None, which is what rows of before say, changes nothing.
    """
    if traceparent is None:
        yield
        return
    with _attached(_PROPAGATOR.extract({_TRACEPARENT: traceparent})):
        yield


@contextlib.contextmanager
def span(name: str, **about: str | float | None) -> Iterator[Span]:
    """Make a span of a piece of work; what is raised marks it as failed.

    Parameters
    ----------
    name
        Of the kind of work, with nothing in it that makes one piece differ from the next.
    **about
        The piece: attributes ``mistudio.<name>``, left out where they are None.
    """
    attributes = {f"mistudio.{key}": value for key, value in about.items() if value is not None}
    with _spanning(trace.get_tracer(_SCOPE), name, SpanKind.INTERNAL, attributes) as made:
        yield made


def failed(error: BaseException, made: Span | None = None) -> None:
    """Mark a span, the present one by default, as failed; nothing of the system's goes along."""
    found = made or trace.get_current_span()
    message, kind = None, type(error).__qualname__
    if isinstance(error, MiStudioError):
        message, kind = error.message, str(error.code)
        if reason := error.details.get("reason"):
            found.set_attribute("mistudio.reason", str(reason))
    elif isinstance(error, asyncio.CancelledError):
        kind = "interrupted"
    found.set_status(Status(StatusCode.ERROR, message))
    found.set_attribute("error.type", kind)


@contextlib.contextmanager
def _spanning(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, Any],
    context: Context | None = None,
) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name,
        context,
        kind,
        dict(attributes),
        # They would carry paths and messages of the system's inside.
        record_exception=False,
        set_status_on_exception=False,
    ) as made:
        try:
            yield made
        except BaseException as error:
            failed(error, made)
            raise


@contextlib.contextmanager
def _attached(context: Context) -> Iterator[None]:
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def traced(provider: TracerProvider) -> "Callable[..., Traced]":
    """Return the broker's middleware that makes a span of each message sent and handled."""
    return partial(Traced, tracer=provider.get_tracer(_SCOPE))


class Traced(BaseMiddleware[NatsPublishCommand, Any]):
    """Takes ``traceparent`` from the headers of what comes, and gives it to what goes.

    Sending is one span and handling another, its child. A request's span lasts until its answer;
    answers have none of their own.
    """

    def __init__(self, msg: Any, /, *, context: Any, tracer: Tracer) -> None:
        super().__init__(msg, context=context)
        self._tracer = tracer

    async def publish_scope(
        self, call_next: Callable[[NatsPublishCommand], Awaitable[Any]], cmd: NatsPublishCommand
    ) -> Any:
        if cmd.publish_type is PublishType.REPLY:
            return await call_next(cmd)
        headers = cmd.headers
        if headers.get(TYPE) in UNTRACED:
            _PROPAGATOR.inject(headers)
            return await call_next(cmd)
        verb = "request" if cmd.publish_type is PublishType.REQUEST else "publish"
        attributes = _message(verb, "send", cmd.destination, cmd.body, headers)
        with _spanning(self._tracer, f"{verb} {cmd.destination}", SpanKind.PRODUCER, attributes):
            _PROPAGATOR.inject(headers)
            return await call_next(cmd)

    async def consume_scope(
        self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]
    ) -> Any:
        raw: Msg = msg.raw_message
        if raw.subject.startswith(_INBOX):
            return await call_next(msg)
        came_from = _PROPAGATOR.extract(msg.headers)
        if msg.headers.get(TYPE) in UNTRACED:
            with _attached(came_from):
                return await call_next(msg)
        attributes = _message("process", "process", raw.subject, raw.data, msg.headers)
        attributes |= _delivery(raw)
        name = f"process {raw.subject}"
        with _spanning(self._tracer, name, SpanKind.CONSUMER, attributes, came_from):
            return await call_next(msg)


def _message(
    verb: str, kind: str, subject: str, body: Any, headers: Mapping[str, str]
) -> dict[str, Any]:
    known: dict[str, Any] = {
        "messaging.system": "nats",
        "messaging.operation.name": verb,
        "messaging.operation.type": kind,
        "messaging.destination.name": subject,
        "messaging.message.body.size": len(body),
    }
    known |= {name: headers[key] for name, key in _CLOUDEVENTS.items() if headers.get(key)}
    if headers.get(ID):
        known["messaging.message.id"] = headers[ID]
    return known


def _delivery(raw: Msg) -> dict[str, Any]:
    try:
        place = raw.metadata
    except NotJSMessageError:
        return {}
    return {
        "messaging.consumer.group.name": place.consumer,
        # No convention names it for NATS; other systems' have the same last word.
        "messaging.nats.message.delivery_count": place.num_delivered,
    }
