"""The outbox relay: publishes what committed, in order, for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from mistudio_catalog.storage.database import Database, OutboxLine
from mistudio_catalog.storage.outbox import Due
from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError, PayloadTooLarge
from mistudio_contracts.subjects import Kind
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.tasks import cancel
from mistudio_servicekit.tracing import within

log = logging.getLogger(__name__)

BATCH = 100
POLL_SECONDS = 1.0
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

PASSING = (Kind.PROGRESS, Kind.CONTROL)
"""Worth something only now: the rows have the newest progress, heartbeats repeat what must go."""

Parked = Callable[[Due, MiStudioError], Awaitable[None]]


class Relay:
    """Publishes the outbox. One relay is active among all replicas; the others stand by.

    Rows are read in the order of their sequence and deleted when the stream confirmed them, so
    what commits out of order is merely published later. The row's id is the message's id: what
    is published twice, because a relay died between publishing and deleting, the stream drops.

    Parameters
    ----------
    database
        Where the outbox is. The relay has a connection of its own, whose lock makes it the one.
    publisher
        The way to the bus.
    parked
        Told of a message that the bus will never take; the others go on.
    """

    def __init__(self, database: Database, publisher: Publisher, parked: Parked) -> None:
        self._database = database
        self._publisher = publisher
        self._parked = parked
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look at the outbox now."""
        self._woken.set()

    async def start(self) -> None:
        """Begin, with what a former process left."""
        self._woken.set()
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def stop(self) -> None:
        """End; what is not published stays in the outbox."""
        await cancel(self._task)
        self._task = None

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with self._database.outbox_line() as line:
                    failures = 0
                    await self._serve(line)
            except MiStudioError as error:
                log.warning("The outbox cannot be read.", extra={"error": error.message})
            except Exception:
                log.exception("The outbox relay failed.")
            await asyncio.sleep(_pause(failures))
            failures += 1

    async def _serve(self, line: OutboxLine) -> None:
        line.on_notice(self.wake)
        active = False
        while True:
            # Clear before looking, so that a commit after the look is not missed.
            self._woken.clear()
            active = active or await line.outbox.become_relay()
            if active:
                await self._drain(line)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _drain(self, line: OutboxLine) -> None:
        while due := await line.outbox.due(BATCH):
            done: list[int] = []
            try:
                for message in due:
                    with within(message.traceparent):
                        kept = await self._publish(message)
                    if kept:
                        done.append(message.seq)
                    else:
                        await line.outbox.park(message.seq, "the bus does not take it")
            finally:
                # Also when this is cancelled: what is out need not go out again.
                if done:
                    await asyncio.shield(line.outbox.published(done))

    async def _publish(self, message: Due) -> bool:
        """Publish until it is kept; False for what never will be.

        Progress and broadcasts get one attempt: nothing may wait behind them.
        """
        subject = subjects.BY_PATTERN.get(message.subject)
        if subject is None:
            log.error("A message of no known subject.", extra={"subject": message.subject})
            return False
        failures = 0
        while True:
            try:
                payload = subject.payload.model_validate_json(message.payload)
                await self._publisher.publish(
                    subject,
                    payload,
                    entity_id=message.entity_id,
                    pool=message.pool,
                    msg_id=message.id,
                )
                return True
            except (PayloadTooLarge, ValueError) as error:
                log.exception("A message is set aside.", extra={"subject": message.subject})
                known = (
                    error
                    if isinstance(error, MiStudioError)
                    else MiStudioError("A message could not be sent.", reason="unsendable")
                )
                await self._parked(message, known)
                return False
            except MiStudioError as error:
                if subject.kind in PASSING:
                    log.warning("Not told.", extra={"subject": message.subject})
                    return True
                log.warning(
                    "The bus does not take messages; they wait.",
                    extra={"subject": message.subject, "error": error.message},
                )
            await asyncio.sleep(_pause(failures))
            failures += 1


def _pause(failures: int) -> float:
    return RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
