"""A FastStream subscriber of a provisioned durable consumer whose fetch loop never gives up.

FastStream's own pull loop creates a consumer that is missing (with limits of its own), keeps
asking while the connection is down, so that several messages arrive at once for one worker and
wait there without heartbeats, and spins when the consumer is gone. Here each fetch asks for one
message on an inbox of its own, which ends with it, and only while connected.
"""

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

import nats.errors
from faststream._internal.broker.registrator import Registrator
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.middlewares import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.subscriber.config import (
    NatsSubscriberConfig,
    NatsSubscriberSpecificationConfig,
)
from faststream.nats.subscriber.specification import NatsSubscriberSpecification
from faststream.nats.subscriber.usecases import PullStreamSubscriber
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, ConsumerInfo

log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
"""How long the server keeps one request for a message open."""

ANSWER_SLACK = 1.0
"""Seconds beyond it that its answer may take; a message is never in flight when we stop asking."""

LOOK = 0.5
"""Seconds between two looks at whether the connection is still the one that was asked on."""

CONNECTION_POLL = 0.1
LONGEST_PAUSE = 5.0
CANCEL_GRACE = 0.5


class FetchRefused(Exception):
    """The server answered a request for a message with a status other than "none yet"."""


class DurableSubscriber(PullStreamSubscriber):
    """Messages of a durable consumer that somebody else has made, one at a time for each worker."""

    def __init__(self, *args: Any, durable: str, workers: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.durable, self.workers = durable, workers
        self.ack_wait = 30.0
        self.max_deliver = -1
        self.max_payload = 0

    @property
    def stream_name(self) -> str:
        return str(self.stream.name)

    async def inspect(self) -> ConsumerInfo:
        """Ask the server for the consumer, and learn its limits.

        Raises
        ------
        nats.js.errors.NotFoundError
            When there is no such consumer, or no such stream.
        """
        info: ConsumerInfo = await self.jetstream.consumer_info(self.stream_name, self.durable)
        self.ack_wait = float(info.config.ack_wait or 30.0)
        self.max_deliver = int(info.config.max_deliver or -1)
        return info

    async def _create_subscription(self) -> None:
        await self.inspect()
        for _ in range(self.workers):
            self.add_task(self._consume_pull, func_kwargs={"cb": self.consume})

    async def _consume_pull(self, cb: Callable[[Msg], Coroutine[Any, Any, Any]]) -> None:
        pause = 0.0
        while not self._over():
            if not self.connection.is_connected:
                await asyncio.sleep(CONNECTION_POLL)
                continue
            try:
                message = await self._fetch()
            except Exception as error:  # noqa: BLE001 - this loop outlives whatever happens
                pause = min(max(2 * pause, 0.2), LONGEST_PAUSE)
                log.warning(
                    "A message could not be fetched.",
                    extra={"consumer": self.durable, "error": repr(error), "pause": pause},
                )
                await asyncio.sleep(pause)
                continue
            pause = 0.0
            if message is None:
                continue
            if self._over():
                await message.nak()
                return
            await cb(message)

    def _over(self) -> bool:
        return not self.running or bool(self.connection.is_closed)

    async def _fetch(self) -> Msg | None:
        """Return the next message, or None when there was none for a while."""
        client = self.connection
        inbox = client.new_inbox()
        request = {"batch": 1, "expires": int(FETCH_SECONDS * 1e9)}
        subscription = await client.subscribe(inbox)
        connected = client.stats["reconnects"]
        try:
            await client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self.stream_name}.{self.durable}",
                json.dumps(request).encode(),
                reply=inbox,
            )
            message = await self._answer(subscription, connected)
        finally:
            with contextlib.suppress(
                nats.errors.ConnectionClosedError,
                nats.errors.ConnectionDrainingError,
                nats.errors.BadSubscriptionError,
            ):
                await subscription.unsubscribe()
        return None if message is None else _message_or_status(message)

    async def _answer(self, subscription: Any, connected: int) -> Msg | None:
        """Wait for the server's answer, unless the connection that was asked on is gone."""
        for _ in range(math.ceil((FETCH_SECONDS + ANSWER_SLACK) / LOOK)):
            try:
                message: Msg = await subscription.next_msg(LOOK)
            except nats.errors.TimeoutError:
                if self.connection.stats["reconnects"] != connected or self._over():
                    return None
            else:
                return message
        return None

    async def stop(self) -> None:
        """Take no more messages; give the one in hand its time, then cancel its handler."""
        tasks = list(self.tasks)
        await super().stop()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_GRACE)


def _message_or_status(message: Msg) -> Msg | None:
    headers = message.headers or {}
    status = headers.get("Status")
    if status is None or message.reply:
        return message
    if status in ("404", "408"):
        return None
    if status == "503":
        raise FetchRefused("no such consumer, or JetStream is not running")
    raise FetchRefused(f"{status} {headers.get('Description', '')}".strip())


def durable_subscriber(
    broker: NatsBroker,
    subject: str,
    *,
    stream: str,
    durable: str,
    description: str,
    workers: int = 1,
) -> DurableSubscriber:
    """Register a subscriber of the durable consumer with the broker, and with its AsyncAPI."""
    config: Any = broker.config
    calls: CallsCollection[Any] = CallsCollection()
    subscriber = DurableSubscriber(
        config=NatsSubscriberConfig(
            subject=subject,
            sub_config=ConsumerConfig(durable_name=durable),
            extra_options={"durable": durable, "stream": stream},
            _outer_config=config,
            _ack_policy=AckPolicy.MANUAL,
        ),
        specification=NatsSubscriberSpecification(
            _outer_config=config,
            calls=calls,
            specification_config=NatsSubscriberSpecificationConfig(
                subject=subject,
                queue=None,
                title_=subject,
                description_=description,
                include_in_schema=True,
            ),
        ),
        calls=calls,
        queue="",
        stream=JStream(stream, declare=False),
        pull_sub=PullSub(batch_size=1, timeout=FETCH_SECONDS),
        durable=durable,
        workers=workers,
    )
    Registrator.subscriber(broker, subscriber)
    return subscriber


def durables_of(broker: NatsBroker) -> list[DurableSubscriber]:
    """Return the broker's subscribers of durable consumers."""
    return [each for each in broker.subscribers if isinstance(each, DurableSubscriber)]
