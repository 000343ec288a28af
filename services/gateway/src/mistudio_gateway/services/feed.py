"""The two readings of a gateway process: EVENTS, from its newest thousand on, and PROGRESS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from nats.aio.client import Client

from mistudio_contracts.subjects import STREAM_OF, Kind
from mistudio_gateway.domain.events import PublicEvent, public_event
from mistudio_servicekit.tasks import cancel

from .hub import Hub, decode
from .reader import OrderedReader, read_range

EVENTS = STREAM_OF[Kind.EVENT]
PROGRESS = STREAM_OF[Kind.PROGRESS]
WARM_EVENTS = 1000
"""Read at start, so that clients that come back after a restart are served from memory."""


class Feed:
    """Keeps a hub supplied.

    Parameters
    ----------
    connection
        Returns the NATS connection.
    hub
        Where events and progress go.
    """

    def __init__(self, connection: Callable[[], Client], hub: Hub) -> None:
        self._connection = connection
        self._hub = hub
        self._events = OrderedReader(connection, EVENTS, warm=WARM_EVENTS)
        self._progress = OrderedReader(connection, PROGRESS)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def following(self) -> bool:
        """Whether events are being read and nothing stored before the start is missing."""
        return (
            self._hub.started.is_set()
            and self._events.following
            and all(not task.done() for task in self._tasks)
        )

    @property
    def progress_following(self) -> bool:
        """Whether live progress is being read."""
        return self._progress.following

    @property
    def incarnation(self) -> str:
        """Tells the stream that sequences are of from any other."""
        return self._events.incarnation

    async def start(self) -> None:
        """Begin to read; returns at once."""
        hub = self._hub
        self._tasks = [
            asyncio.create_task(
                self._events.run(hub.take_event, begun=hub.begin, reset=hub.reset),
                name="events",
            ),
            asyncio.create_task(self._progress.run(hub.take_progress), name="progress"),
        ]

    async def stop(self) -> None:
        """Stop reading."""
        await cancel(*self._tasks)

    async def oldest(self) -> int:
        """Return the sequence of the oldest event that the stream still holds.

        Raises
        ------
        nats.errors.Error
            When the server does not answer.
        """
        info = await self._connection().jetstream().stream_info(EVENTS)
        return int(info.state.first_seq)

    async def older(self, after: int, upto: int) -> AsyncGenerator[PublicEvent, None]:
        """Yield the events with ``after < sequence <= upto`` from the stream itself.

        Raises
        ------
        nats.errors.Error
            When the server does not answer.
        """
        async with aclosing(read_range(self._connection(), EVENTS, after, upto)) as records:
            async for record in records:
                payload = decode(record)
                if payload is not None:
                    yield public_event(record.sequence, record.subject, payload)
