"""Handlers of durable subjects, at least once, and of live ones, at most once."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from faststream.nats import NatsBroker
from faststream.nats.message import NatsMessage

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.subjects import Subject

from .delivery import Delivery, read_payload
from .durable import durable_subscriber
from .failures import retry_delay
from .telemetry import HANDLED, HEARD, metrics_of
from .worker import GiveUp, Handler, OnRetry, Worker

__all__ = ["Delivery", "GiveUp", "Handler", "OnRetry", "consume", "listen", "register"]

log = logging.getLogger(__name__)


def consume(
    broker: NatsBroker,
    subject: Subject,
    handler: Handler[Any],
    *,
    pool: str = "default",
    on_give_up: GiveUp[Any] | None = None,
    retries: int = 3,
    delay: Callable[[int], float] = retry_delay,
    on_retry: OnRetry[Any] | None = None,
    workers: int = 1,
) -> None:
    """Handle the messages of a command, work or report subject, one at a time for each worker.

    Messages come at least once, so handlers are idempotent. What becomes of one:

    - the handler returns: acknowledged;
    - a transient ``MiStudioError``, or a broken connection: comes again after a delay, ``retries``
      times at most, then it is given up;
    - a permanent ``MiStudioError``: ``on_give_up`` is told at once and the message acknowledged;
      without ``on_give_up`` a copy goes to the DEAD stream, so that it is not lost in silence;
    - anything else, and a message that cannot be read: given up.

    Giving up means: ``on_give_up`` is told (not for what cannot be read), a copy goes to the DEAD
    stream, and the message is ended. A message that comes for the last time the consumer allows
    has ended its worker each time before, so it is given up without being tried.

    While the handler runs the server is told so, each third of the consumer's ``ack_wait``.
    Blocking work belongs into a thread. At shutdown a handler gets some seconds, then it is
    cancelled and the message goes back.

    Parameters
    ----------
    broker
        Where to register; before it starts.
    subject
        A subject that a stream keeps, and whose durable consumer is provisioned.
    handler
        Takes the payload and its delivery.
    pool
        Fills ``{pool}`` of the subject.
    on_give_up
        Takes the payload, the error and the delivery. Idempotent, as a handler is.
    retries
        How often a transient failure is tried again.
    delay
        Seconds to wait after an attempt, counted from 1.
    on_retry
        Told of each transient failure that is tried again, with the seconds until then. What it
        raises is logged and changes nothing.
    workers
        Messages at once; more than one where a handler waits for others.
    """
    stream = subject.stream
    if stream is None:
        raise ValueError(f"{subject.pattern} is not kept in a stream; use listen or serve")
    subscriber = durable_subscriber(
        broker,
        subject.name(pool),
        stream=stream,
        durable=subject.durable(pool),
        description=subject.summary,
        workers=workers,
    )
    for outcome in HANDLED:
        metrics_of(broker).handled.labels(subject.name(pool), outcome)
    worker = Worker(broker, subscriber, subject, handler, on_give_up, retries, delay, on_retry)
    register(subscriber, subject, worker.handle)


def listen(
    broker: NatsBroker,
    subject: Subject,
    handler: Callable[[Any], Awaitable[None]],
    *,
    pool: str = "default",
    shared: bool,
) -> None:
    """Handle the messages of a live or control subject: in order, at most once.

    Parameters
    ----------
    broker
        Where to register; before it starts.
    subject
        A subject that no stream keeps.
    handler
        Takes the payload. What it raises is logged, and the message is over.
    pool
        Fills ``{pool}`` of the subject.
    shared
        True: one of the service's replicas hears each message. False: every process does.
    """
    if subject.stream is not None:
        raise ValueError(f"{subject.pattern} is kept in a stream; use consume")
    name = subject.name(pool)
    subscriber = broker.subscriber(
        name,
        queue=subject.durable(pool) if shared else "",
        title=name,
        description=subject.summary,
        no_reply=True,
    )
    handled = metrics_of(broker).handled
    for each in HEARD:
        handled.labels(name, each)

    async def hear(message: NatsMessage) -> None:
        outcome = "failed"
        try:
            await handler(read_payload(subject.payload, message))
            outcome = "ok"
        except InvalidInput as error:
            outcome = "unreadable"
            log.warning(
                "A message was not understood.", extra={"subject": name, "error": error.message}
            )
        except Exception:
            log.exception("A handler failed.", extra={"subject": name})
        finally:
            handled.labels(name, outcome).inc()

    register(subscriber, subject, hear)


def register(subscriber: Any, subject: Subject, function: Callable[[Any], Awaitable[Any]]) -> None:
    """Give a FastStream subscriber its function; the AsyncAPI shows the subject's payload."""

    async def handle(message: Any) -> Any:
        return await function(message)

    async def undecoded(message: NatsMessage) -> NatsMessage:
        return message

    # FastStream reads the schema off the annotation; at run time the function decodes by itself.
    handle.__annotations__ = {"message": subject.payload}
    handle.__doc__ = subject.summary
    subscriber(handle, decoder=undecoded)
