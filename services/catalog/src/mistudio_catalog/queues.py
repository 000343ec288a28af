"""What the bus says of the catalog's queues."""

from __future__ import annotations

import asyncio
import logging

import nats.errors
from faststream.nats import NatsBroker
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

from mistudio_contracts import subjects
from mistudio_contracts.base import utcnow
from mistudio_contracts.subjects import STREAM_OF, Kind, Subject, of_kind
from mistudio_servicekit.dead import STREAM as DEAD
from mistudio_servicekit.metering import fresh

from .domain.outgoing import Outgoing
from .metrics import Metrics

log = logging.getLogger(__name__)

STREAMS = tuple(STREAM_OF[kind] for kind in (Kind.COMMAND, Kind.WORK, Kind.REPORT))
PAGE = 256
"""Consumers that one answer of the server holds."""


class QueuesEmpty:
    """Asks the server whether an order, or a report on one, is still on its way.

    Parameters
    ----------
    broker
        The catalog's.
    edge
        JetStream domain in which the orders are worked on; empty: that of the broker.
    """

    def __init__(self, broker: NatsBroker, edge: str = "") -> None:
        self._broker = broker
        self._edge = edge

    async def __call__(self, order: Outgoing) -> bool:
        """Return False where a message is found, and where a queue cannot be looked at."""
        try:
            return await self._empty(order)
        except (nats.errors.Error, asyncio.TimeoutError) as error:
            log.warning("A queue cannot be looked at.", extra={"error": repr(error)})
            return False

    async def _empty(self, order: Outgoing) -> bool:
        client = await self._broker.connect()
        here = client.jetstream()
        there = client.jetstream(domain=self._edge) if self._edge else here
        # In the order that messages move: each is in the next queue before it leaves the last.
        if self._edge and await _kept(here, order.subject.stream, order.subject.name(order.pool)):
            return False
        if await _outstanding(there, order.subject, order.pool):
            return False
        if self._edge and await _kept(there, subjects.REPORT_SHARD.stream, None):
            return False
        for report in of_kind(Kind.REPORT):
            if await _outstanding(here, report, "default"):
                return False
        return True


class QueueMeasures:
    """Sets the gauges of the queues: one question a stream, one more for each that is not empty."""

    def __init__(self, broker: NatsBroker, metrics: Metrics) -> None:
        self._broker, self._metrics = broker, metrics

    async def read(self) -> None:
        """Ask the server.

        Raises
        ------
        nats.errors.Error, asyncio.TimeoutError
            When it does not answer.
        """
        to = self._metrics
        with fresh(to.queue_messages, to.queue_seconds, to.queue_workers, to.dead_letters):
            jetstream = self._broker.connection.jetstream(timeout=2)
            found = [
                (each, await _age(jetstream, each))
                for stream in STREAMS
                for each in await _consumers(jetstream, stream)
            ]
            dead = await jetstream.stream_info(DEAD)
            for each, seconds in found:
                self._show(each, seconds)
            to.dead_letters.set(dead.state.messages)

    def _show(self, queue: ConsumerInfo, seconds: float) -> None:
        subject, in_hand = str(queue.config.filter_subject), queue.num_ack_pending or 0
        to = self._metrics
        to.queue_messages.labels(subject, "waiting").set(queue.num_pending or 0)
        to.queue_messages.labels(subject, "in_hand").set(in_hand)
        to.queue_seconds.labels(subject).set(seconds)
        to.queue_workers.labels(subject).set((queue.num_waiting or 0) + in_hand)


async def _outstanding(jetstream: JetStreamContext, subject: Subject, pool: str) -> bool:
    info = await jetstream.consumer_info(str(subject.stream), subject.durable(pool))
    return bool(info.num_pending or info.num_ack_pending)


async def _kept(jetstream: JetStreamContext, stream: str | None, subject: str | None) -> bool:
    """Tell whether a stream holds messages, of one subject where it is given."""
    info = await jetstream.stream_info(str(stream), subjects_filter=subject)
    if subject is None:
        return bool(info.state.messages)
    return bool((info.state.subjects or {}).get(subject, 0))


async def _consumers(jetstream: JetStreamContext, stream: str) -> list[ConsumerInfo]:
    found: list[ConsumerInfo] = []
    while len(page := await jetstream.consumers_info(stream, len(found))) == PAGE:
        found += page
    return found + page


async def _age(jetstream: JetStreamContext, queue: ConsumerInfo) -> float:
    """Return how long ago the oldest message of a queue was published; 0 when it is empty."""
    if not (queue.num_pending or queue.num_ack_pending):
        return 0.0
    subject = str(queue.config.filter_subject)
    try:
        message = await jetstream.get_msg(queue.stream_name, 1, subject=subject, next=True)
    except NotFoundError:
        return 0.0  # Handled meanwhile.
    return 0.0 if message.time is None else max(0.0, (utcnow() - message.time).total_seconds())
