"""Handlers of durable subjects, at least once, and of live ones, at most once."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import nats.errors
from faststream.nats import NatsBroker
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from mistudio_contracts.errors import InvalidInput, MiStudioError
from mistudio_contracts.subjects import Subject

from .dead import Death, bury
from .durable import DurableSubscriber, durable_subscriber
from .failures import as_contract_error, is_transient, retry_delay
from .headers import ID, MSG_ID, SOURCE, schema_version, version_of
from .telemetry import metrics_of
from .validation import invalid_input

log = logging.getLogger(__name__)

P = TypeVar("P", bound=BaseModel)
Handler = Callable[[P, "Delivery"], Awaitable[None]]
GiveUp = Callable[[P, MiStudioError, "Delivery"], Awaitable[None]]

IN_PLACE_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each attempt to say that a message was given up."""

LATER = 30.0
"""Seconds until a message comes again whose giving up could not be said."""


@dataclass(frozen=True)
class Delivery:
    """One delivery of a message.

    Parameters
    ----------
    subject
        The concrete subject.
    message_id
        The writer's id for it, or else its place in the stream. The same at each delivery.
    attempt
        1 for the first delivery.
    source
        The service that wrote it, if it says so.
    """

    subject: str
    message_id: str
    attempt: int
    source: str | None


def read_payload(payload: type[P], message: NatsMessage) -> P:
    """Return the payload of a message.

    Raises
    ------
    InvalidInput
        When it cannot be decoded, is not valid, or is of a version that this code does not know.
    """
    try:
        version = schema_version(message.headers)
    except ValueError as error:
        raise InvalidInput(
            "The version of the payload cannot be read.",
            field="ce-schemaversion",
            reason="unknown_version",
            remedy="Leave the header out, or give the payload's major version.",
        ) from error
    if version is not None and version != version_of(payload):
        raise InvalidInput(
            f"Version {version} of {payload.__name__} is not known here.",
            field="ce-schemaversion",
            reason="unknown_version",
            remedy=f"Send version {version_of(payload)}, or update this service.",
        )
    try:
        return payload.model_validate_json(message.body)
    except ValidationError as error:
        raise invalid_input(error) from error


def consume(
    broker: NatsBroker,
    subject: Subject,
    handler: Handler[Any],
    *,
    pool: str = "default",
    on_give_up: GiveUp[Any] | None = None,
    retries: int = 3,
    delay: Callable[[int], float] = retry_delay,
) -> None:
    """Handle the messages of a command, work or report subject, one at a time.

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
    )
    worker = _Worker(broker, subscriber, subject, handler, on_give_up, retries, delay)
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


class _Worker:
    """The way of one message from its delivery to its end."""

    def __init__(
        self,
        broker: NatsBroker,
        subscriber: DurableSubscriber,
        subject: Subject,
        handler: Handler[Any],
        on_give_up: GiveUp[Any] | None,
        retries: int,
        delay: Callable[[int], float],
    ) -> None:
        self._broker = broker
        self._subscriber = subscriber
        self._payload = subject.payload
        self._handler = handler
        self._on_give_up = on_give_up
        self._retries = retries
        self._delay = delay
        self._handled = metrics_of(broker).handled

    async def handle(self, message: NatsMessage) -> None:
        raw: Msg = message.raw_message
        delivery = _delivery(raw)
        outcome = "interrupted"
        try:
            async with _in_progress(raw, self._subscriber.ack_wait / 3):
                outcome = await self._attempt(message, raw, delivery)
        except asyncio.CancelledError:
            # The process ends: another one need not wait until ack_wait is over.
            if not raw.is_acked:
                with contextlib.suppress(nats.errors.Error):
                    await raw.nak()
            raise
        except Exception:
            # Whatever was to be told to the server was not: it delivers the message again.
            outcome = "unsettled"
            log.exception("A message could not be settled.", extra={"subject": delivery.subject})
        finally:
            self._handled.labels(delivery.subject, outcome).inc()

    async def _attempt(self, message: NatsMessage, raw: Msg, delivery: Delivery) -> str:
        try:
            payload = read_payload(self._payload, message)
        except InvalidInput as error:
            log.error("A message cannot be read.", extra=_about(delivery, error))
            return await self._end(raw, delivery, Death(error), "unreadable")
        last = self._subscriber.max_deliver
        if 0 < last <= delivery.attempt:
            exhausted = MiStudioError(
                f"This was tried {delivery.attempt - 1} times and has never come to an end.",
                reason="max_deliveries",
                remedy="Look for what ended the worker, then replay the message.",
            )
            return await self._give_up(raw, payload, delivery, Death(exhausted))
        try:
            await self._run(payload, delivery)
        except Exception as error:  # noqa: BLE001 - told apart below, and logged
            return await self._failed(raw, payload, delivery, error)
        await raw.ack()
        return "ok"

    async def _run(self, payload: BaseModel, delivery: Delivery) -> None:
        try:
            await self._handler(payload, delivery)
        except asyncio.CancelledError as error:
            if not self._subscriber.running:
                raise
            # Something inside the handler was cancelled, not this process.
            raise RuntimeError("the handler was cancelled from within") from error

    async def _failed(
        self, raw: Msg, payload: BaseModel, delivery: Delivery, error: Exception
    ) -> str:
        known = as_contract_error(error)
        if is_transient(error) and delivery.attempt <= self._retries:
            pause = self._delay(delivery.attempt)
            log.warning(
                "A handler failed; it is tried again.", extra=_about(delivery, known, pause)
            )
            await raw.nak(delay=pause)
            return "retried"
        if isinstance(error, MiStudioError) and not error.transient and self._on_give_up:
            log.info("A message was refused.", extra=_about(delivery, known))
            if await self._tell(payload, known, delivery):
                await raw.ack()
                return "refused"
            return await self._later(raw, delivery)
        log.error("A handler failed.", extra=_about(delivery, known), exc_info=error)
        return await self._give_up(raw, payload, delivery, Death(known, error))

    async def _give_up(self, raw: Msg, payload: BaseModel, delivery: Delivery, death: Death) -> str:
        told = await self._tell(payload, death.error, delivery)
        last = 0 < self._subscriber.max_deliver <= delivery.attempt
        if not told and not last:
            return await self._later(raw, delivery)
        return await self._end(raw, delivery, death, "dead")

    async def _tell(self, payload: BaseModel, error: MiStudioError, delivery: Delivery) -> bool:
        if self._on_give_up is None:
            return True
        for pause in IN_PLACE_PAUSES:
            await asyncio.sleep(pause)
            try:
                await self._on_give_up(payload, error, delivery)
            except Exception:
                log.exception("Giving up failed.", extra=_about(delivery, error))
            else:
                return True
        return False

    async def _end(self, raw: Msg, delivery: Delivery, death: Death, outcome: str) -> str:
        for pause in IN_PLACE_PAUSES:
            await asyncio.sleep(pause)
            try:
                await bury(self._broker, raw, death)
            except MiStudioError as error:
                log.warning("A dead letter is not kept yet.", extra=_about(delivery, error))
            else:
                await raw.term()
                return outcome
        return await self._later(raw, delivery)

    async def _later(self, raw: Msg, delivery: Delivery) -> str:
        # Never ended without a copy: after its last delivery it stays in the stream.
        log.error("A message is put off.", extra={"subject": delivery.subject, "pause": LATER})
        await raw.nak(delay=LATER)
        return "put_off"


@contextlib.asynccontextmanager
async def _in_progress(message: Msg, every: float) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(every)
            try:
                await message.in_progress()
            except Exception as error:  # noqa: BLE001 - whatever ails the connection, go on
                log.warning("A heartbeat was not sent.", extra={"error": str(error)})

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _delivery(message: Msg) -> Delivery:
    headers = message.headers or {}
    place = message.metadata
    return Delivery(
        subject=message.subject,
        message_id=headers.get(MSG_ID)
        or headers.get(ID)
        or f"{place.stream}-{place.sequence.stream}",
        attempt=place.num_delivered,
        source=headers.get(SOURCE),
    )


def _about(delivery: Delivery, error: MiStudioError, pause: float | None = None) -> dict[str, Any]:
    return {
        "subject": delivery.subject,
        "message_id": delivery.message_id,
        "attempt": delivery.attempt,
        "code": str(error.code),
        "error": error.message,
        "details": error.details,
        **({} if pause is None else {"pause": pause}),
    }
