"""Reading a JetStream stream in order, without a gap, through any restart of the server.

The client library's ordered push consumer has no sequence to resume from until its first message,
and drops what a full queue cannot take. This one pulls: the server sends no more than was asked
for, each message's consumer sequence is checked, and whatever breaks (a restart, a deleted
consumer, silence where heartbeats should be) leads to a fresh consumer after the last message
handled.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api

from mistudio_contracts.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

NANOSECONDS = 1_000_000_000
LOST = (nats.errors.Error, asyncio.TimeoutError, OSError, ServiceUnavailable)
"""What says that the connection, the server or the consumer is not there just now."""


@dataclass(frozen=True)
class Record:
    """A message of a stream; ``sequence`` is its place there, ``pending`` how many follow it."""

    sequence: int
    pending: int
    subject: str
    data: bytes
    headers: dict[str, str]


class ConsumerLost(nats.errors.Error):
    """The consumer is gone or a message is missing: go on with a fresh one."""


class OrderedReader:
    """Follows one stream.

    Parameters
    ----------
    connection
        Returns the NATS connection, once there is one.
    stream
        The stream's name.
    after
        Read what follows this sequence; None means only what is yet to come.
    warm
        With ``after`` None: begin this many messages before the end.
    batch
        Most messages in flight.
    heartbeat
        Seconds between signs of life; after two are missed the consumer is replaced.
    """

    def __init__(
        self,
        connection: Callable[[], Client],
        stream: str,
        *,
        after: int | None = None,
        warm: int = 0,
        batch: int = 256,
        heartbeat: float = 1.0,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._after = after
        self._warm = warm
        self._batch = batch
        self._heartbeat = heartbeat
        self._created: datetime | None = None
        self.following = False
        """Whether a consumer is in place."""

    @property
    def incarnation(self) -> str:
        """When the stream was made, which tells it from one that had its name before."""
        return "" if self._created is None else self._created.isoformat()

    @property
    def last(self) -> int | None:
        """The sequence of the last message handled; None before the reader's first start."""
        return self._after

    async def run(
        self,
        handle: Callable[[Record], None],
        *,
        begun: Callable[[int, int], None] = lambda after, newest: None,
        reset: Callable[[], None] = lambda: None,
    ) -> None:
        """Hand over every message, for ever.

        Parameters
        ----------
        handle
            Called with each message, in order, each once.
        begun
            Called when a consumer is in place, with the sequence before its first message and
            the newest one in the stream.
        reset
            Called when the stream was made anew: sequences begin again.
        """
        delay = 0.1
        while True:
            try:
                async with aclosing(self._read(begun, reset)) as records:
                    async for record in records:
                        delay = 0.1
                        self._after = record.sequence
                        handle(record)
            except LOST as error:
                self.following = False
                logger.warning(
                    "reading a stream again after an interruption",
                    extra={"stream": self._stream, "after": self._after, "cause": repr(error)},
                )
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    async def _read(
        self, begun: Callable[[int, int], None], reset: Callable[[], None]
    ) -> AsyncGenerator[Record, None]:
        connection = self._connection()
        info = await connection.jetstream().stream_info(self._stream)
        state = info.state
        if self._after is None:
            self._after = max(state.first_seq - 1, state.last_seq - self._warm, 0)
        elif self._after > state.last_seq or self._created not in (None, info.created):
            logger.warning("a stream was made anew", extra={"stream": self._stream})
            self._after = 0
            reset()
        self._created = info.created
        async with consumer(connection, self._stream, self._after) as (name, inbox, replies):
            begun(self._after, state.last_seq)
            self.following = True
            async with aclosing(self._pull(connection, name, inbox, replies)) as records:
                async for record in records:
                    if record.sequence > self._after:
                        yield record

    async def _pull(
        self, connection: Client, name: str, inbox: str, replies: Subscription
    ) -> AsyncGenerator[Record, None]:
        expected = 1
        while True:
            await ask(connection, self._stream, name, inbox, self._batch, self._heartbeat)
            remaining = self._batch
            while remaining:
                message = await replies.next_msg(timeout=2 * self._heartbeat + 0.5)
                if (status := status_of(message)) is not None:
                    if status == "100":
                        continue
                    if status == "408":
                        break
                    raise ConsumerLost(f"status {status}")
                if message.metadata.sequence.consumer != expected:
                    raise ConsumerLost("a message is missing")
                expected += 1
                remaining -= 1
                yield record_of(message)


async def read_range(
    connection: Client, stream: str, after: int, upto: int, *, timeout: float = 5.0
) -> AsyncGenerator[Record, None]:
    """Yield the messages with ``after < sequence <= upto`` that the stream still holds.

    Raises
    ------
    nats.errors.Error
        When the server does not answer.
    """
    async with consumer(connection, stream, after) as (name, inbox, replies):
        while True:
            await ask(connection, stream, name, inbox, 128, None)
            while True:
                message = await replies.next_msg(timeout=timeout)
                status = status_of(message)
                if status == "404":
                    return
                if status == "408":
                    break
                if status is not None:
                    raise ConsumerLost(f"status {status}")
                record = record_of(message)
                if record.sequence > upto:
                    return
                yield record
                if record.sequence == upto or record.pending == 0:
                    return
                if message.metadata.sequence.consumer % 128 == 0:
                    break


@asynccontextmanager
async def consumer(
    connection: Client, stream: str, after: int
) -> AsyncIterator[tuple[str, str, Subscription]]:
    """Hold a consumer in memory that begins behind a sequence; yield its name and its inbox."""
    jetstream = connection.jetstream()
    name = f"gateway-{secrets.token_hex(8)}"
    config = api.ConsumerConfig(
        name=name,
        description="A gateway's place in the stream; goes with it.",
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        ack_policy=api.AckPolicy.NONE,
        max_deliver=1,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=30.0,
    )
    await jetstream.add_consumer(stream, config=config)
    inbox = connection.new_inbox()
    replies = await connection.subscribe(inbox)
    lost = False
    try:
        yield name, inbox, replies
    except LOST:
        lost = True
        raise
    finally:
        with suppress(*LOST):
            await replies.unsubscribe()
            # One that was lost is not waited for: the server forgets it after the threshold.
            if not lost:
                await asyncio.wait_for(jetstream.delete_consumer(stream, name), timeout=1.0)


async def ask(
    connection: Client, stream: str, name: str, inbox: str, batch: int, heartbeat: float | None
) -> None:
    """Ask a consumer for messages; with no heartbeat only for those that are there now."""
    request: dict[str, Any] = {"batch": batch}
    if heartbeat is None:
        request["no_wait"] = True
    else:
        request["expires"] = 30 * NANOSECONDS
        request["idle_heartbeat"] = int(heartbeat * NANOSECONDS)
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
    await connection.publish(subject, json.dumps(request).encode(), reply=inbox)


def status_of(message: Msg) -> str | None:
    """Return the status code of a control message, None for a message of the stream."""
    if message.headers and not message.reply:
        status = message.headers.get("Status")
        return None if status is None else str(status)
    return None


def record_of(message: Msg) -> Record:
    metadata = message.metadata
    return Record(
        sequence=metadata.sequence.stream,
        pending=metadata.num_pending,
        subject=message.subject,
        data=message.data,
        headers=dict(message.headers or {}),
    )
