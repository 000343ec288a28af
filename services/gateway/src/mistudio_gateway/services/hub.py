"""One reading of the events for all WebSocket clients of this process."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from pydantic import ValidationError

from mistudio_contracts.base import Message
from mistudio_contracts.events import Event
from mistudio_contracts.subjects import BY_PATTERN
from mistudio_gateway.domain.events import Interest, PublicEvent, public_event
from mistudio_gateway.domain.guard import Step, TaskGuard, step_of
from mistudio_gateway.domain.outbox import Lagging, Outbox

from .reader import Record

logger = logging.getLogger(__name__)


class Member:
    """A client that is up to date and hears each event as it comes.

    Parameters
    ----------
    interest
        What the client selected.
    backlog_bytes
        How far it may fall behind.
    """

    def __init__(self, interest: Interest, backlog_bytes: int) -> None:
        self.interest = interest
        self.outbox = Outbox(backlog_bytes)
        self.lagging = asyncio.Event()
        """Set when the client is given up."""
        self.restarted = asyncio.Event()
        """Set when the stream was made anew, so that its sequences mean nothing any more."""
        self._waiting = asyncio.Event()

    def hear(self, event: PublicEvent) -> None:
        """Queue an event."""
        try:
            self.outbox.put_event(event)
        except Lagging:
            self.lagging.set()
        self._waiting.set()

    def hear_progress(self, step: Step, event: PublicEvent) -> None:
        """Queue a step of progress in place of an older one."""
        self.outbox.put_progress(step, event)
        self._waiting.set()

    def begin_progress(self, step: Step, event: PublicEvent) -> None:
        """Queue the step that progress begins with, unless newer was heard meanwhile."""
        self.outbox.begin_progress(step, event)
        self._waiting.set()

    async def next(self) -> PublicEvent:
        """Wait for what is to be sent next."""
        while True:
            event = self.outbox.pop()
            if event is not None:
                return event
            self._waiting.clear()
            await self._waiting.wait()


class Hub:
    """The newest events in memory, and the clients that follow them.

    All methods run on the event loop and none of them waits, so a client that finds nothing
    newer in the ring and joins at once has neither gap nor repeat.

    Parameters
    ----------
    ring_events
        How many events are kept for clients that come back.
    ring_bytes
        How many bytes their frames may have together.
    """

    def __init__(self, ring_events: int, ring_bytes: int) -> None:
        self._ring: deque[PublicEvent] = deque()
        self._ring_events, self._ring_bytes = ring_events, ring_bytes
        self._kept_bytes = 0
        self._floor = 0
        self._newest = 0
        self._until = 0
        self._members: set[Member] = set()
        self._guard = TaskGuard()
        self.started = asyncio.Event()
        """Set when the newest sequence is known."""

    @property
    def newest(self) -> int:
        """The sequence of the newest event seen."""
        return self._newest

    @property
    def floor(self) -> int:
        """Events above this sequence are in memory."""
        return self._floor

    def begin(self, after: int, newest: int) -> None:
        """Say where the reading of EVENTS begins: what follows ``after`` comes to the ring."""
        if not self.started.is_set():
            self._floor = self._newest = max(after, self._newest)
        self._until = newest
        if self._newest >= newest:
            self.started.set()

    def reset(self) -> None:
        """Forget all events: their sequences begin again."""
        self._ring.clear()
        self._kept_bytes = 0
        self._floor = self._newest = 0
        for member in self._members:
            member.restarted.set()
        # They come back by themselves; what they heard until then they would hear twice.
        self._members.clear()

    def take_event(self, record: Record) -> None:
        """Keep an event and hand it to whoever wants it."""
        self._newest = record.sequence
        if self._newest >= self._until:
            self.started.set()
        payload = decode(record)
        if payload is None:
            return
        event = public_event(record.sequence, record.subject, payload)
        self._keep(event)
        ended = self._guard.observe(payload)
        for member in self._members:
            if ended is not None:
                member.outbox.end(ended)
            if member.interest.wants(payload):
                member.hear(event)

    def _keep(self, event: PublicEvent) -> None:
        self._ring.append(event)
        self._kept_bytes += event.size
        while len(self._ring) > self._ring_events or self._kept_bytes > self._ring_bytes:
            oldest = self._ring.popleft()
            self._kept_bytes -= oldest.size
            self._floor = oldest.sequence or self._floor

    def take_progress(self, record: Record) -> None:
        """Hand a step of progress to whoever wants it, unless its task has ended."""
        payload = decode(record)
        step = None if payload is None else step_of(payload)
        if payload is None or step is None or not self._guard.admits(step):
            return
        event = public_event(None, record.subject, payload)
        for member in self._members:
            if member.interest.wants(payload):
                member.hear_progress(step, event)

    def admits(self, step: Step) -> bool:
        """Whether a step is of a task that has not ended."""
        return self._guard.admits(step)

    def since(self, after: int) -> list[PublicEvent] | None:
        """Return the events above a sequence, or None when some of them are not in memory."""
        if after < self._floor:
            return None
        return [event for event in self._ring if (event.sequence or 0) > after]

    def join(self, member: Member) -> None:
        """Hand this client every event from now on."""
        self._members.add(member)

    def leave(self, member: Member) -> None:
        """Hand this client nothing more."""
        self._members.discard(member)


def decode(record: Record) -> Event | None:
    """Read a message as the event its subject names; None for what this version cannot read."""
    subject = BY_PATTERN.get(record.subject)
    if subject is None or not issubclass(subject.payload, Event):
        logger.warning("an event of an unknown subject", extra={"subject": record.subject})
        return None
    if not _known_version(record, subject.payload):
        logger.error("an event of an unknown version", extra={"subject": record.subject})
        return None
    try:
        return subject.payload.model_validate_json(record.data)
    except ValidationError as error:
        logger.error(
            "an event that cannot be read",
            extra={
                "subject": record.subject,
                "sequence": record.sequence,
                "errors": error.errors(include_url=False, include_input=False),
            },
        )
        return None


def _known_version(record: Record, payload: type[Message]) -> bool:
    version = record.headers.get("ce-schemaversion", str(payload.VERSION))
    return version.split(".")[0] == str(payload.VERSION)
