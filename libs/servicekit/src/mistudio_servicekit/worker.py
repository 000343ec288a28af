"""The way of one message of a durable subject, from its delivery to its end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import nats.errors
from faststream.nats import NatsBroker
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from pydantic import BaseModel

from mistudio_contracts.errors import InvalidInput, MiStudioError
from mistudio_contracts.subjects import Subject

from .dead import Death, bury
from .delivery import Delivery, delivery_of, read_payload
from .durable import DurableSubscriber
from .failures import as_contract_error, is_transient
from .tasks import cancel
from .telemetry import metrics_of
from .tracing import failed

log = logging.getLogger(__name__)

P = TypeVar("P", bound=BaseModel)
Handler = Callable[[P, "Delivery"], Awaitable[None]]
GiveUp = Callable[[P, MiStudioError, "Delivery"], Awaitable[None]]
OnRetry = Callable[[P, MiStudioError, "Delivery", float], Awaitable[None]]

IN_PLACE_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each attempt to say that a message was given up."""

LATER = 30.0
"""Seconds until a message comes again whose giving up could not be said."""


class Worker:
    """Runs a handler on a subject's messages, and tells the server what became of each."""

    def __init__(
        self,
        broker: NatsBroker,
        subscriber: DurableSubscriber,
        subject: Subject,
        handler: Handler[Any],
        on_give_up: GiveUp[Any] | None,
        retries: int,
        delay: Callable[[int], float],
        on_retry: OnRetry[Any] | None,
    ) -> None:
        self._broker = broker
        self._subscriber = subscriber
        self._payload = subject.payload
        self._handler = handler
        self._on_give_up = on_give_up
        self._retries = retries
        self._delay = delay
        self._on_retry = on_retry
        self._handled = metrics_of(broker).handled

    async def handle(self, message: NatsMessage) -> None:
        """Handle one delivery; raises nothing but a cancellation."""
        raw: Msg = message.raw_message
        delivery = delivery_of(raw)
        outcome = "interrupted"
        try:
            async with _in_progress(raw, self._subscriber.ack_wait / 3):
                outcome = await self._attempt(message, raw, delivery)
        except asyncio.CancelledError as error:
            failed(error)
            # The process ends: another one need not wait until ack_wait is over.
            if not raw.is_acked:
                with contextlib.suppress(nats.errors.Error):
                    await raw.nak()
            raise
        except Exception as error:
            # Whatever was to be told to the server was not: it delivers the message again.
            outcome = "unsettled"
            failed(error)
            log.exception("A message could not be settled.", extra={"subject": delivery.subject})
        finally:
            self._handled.labels(delivery.subject, outcome).inc()

    async def _attempt(self, message: NatsMessage, raw: Msg, delivery: Delivery) -> str:
        try:
            payload = read_payload(self._payload, message)
        except InvalidInput as error:
            failed(error)
            log.error("A message cannot be read.", extra=_about(delivery, error))
            return await self._end(raw, delivery, Death(error), "unreadable")
        last = self._subscriber.max_deliver
        if 0 < last <= delivery.attempt:
            exhausted = MiStudioError(
                f"This was tried {delivery.attempt - 1} times and has never come to an end.",
                reason="max_deliveries",
                remedy="Look for what ended the worker, then replay the message.",
            )
            failed(exhausted)
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
        failed(known)
        if is_transient(error) and delivery.attempt <= self._retries:
            pause = self._delay(delivery.attempt)
            log.warning(
                "A handler failed; it is tried again.", extra=_about(delivery, known, pause)
            )
            await self._tell_retry(payload, known, delivery, pause)
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

    async def _tell_retry(
        self, payload: BaseModel, error: MiStudioError, delivery: Delivery, pause: float
    ) -> None:
        if self._on_retry is None:
            return
        try:
            await self._on_retry(payload, error, delivery, pause)
        except Exception:
            log.exception("A retry was not told.", extra=_about(delivery, error, pause))

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
        await cancel(task)


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
