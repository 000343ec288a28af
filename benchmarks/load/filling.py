"""Messages of a model that does not exist, through the streams that a day's work goes through."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import nats
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from mistudio_contracts.errors import ErrorBody, ErrorCode
from mistudio_contracts.events import ModelFailed, ModelLoadProgress
from mistudio_contracts.states import LoadStage, ModelStatus

PADDING = "x" * 600
"""Makes a message 1 kB, with what is around it."""

AT_ONCE = 100
MOST_SECONDS = 60.0

_FAILED = ModelFailed(
    model_id="m_filling",
    status=ModelStatus.FAILED,
    task_id="task_filling",
    error=ErrorBody(code=ErrorCode.MODEL_LOAD_FAILED, message=PADDING),
)
_PROGRESS = ModelLoadProgress(
    model_id="m_filling",
    status=ModelStatus.LOADING,
    task_id="task_filling",
    stage=LoadStage.QUANTIZING,
    progress=50.0,
    message=PADDING,
)
_SENT = {
    "EVENTS": ("model.failed", _FAILED.model_dump_json()),
    "PROGRESS": ("model.load.progress", _PROGRESS.model_dump_json()),
    "WORK": ("work.filling", PADDING),
    "REPORTS": ("report.filling", PADDING),
}
_QUEUES = ("WORK", "REPORTS")


class Filling:
    """Sends messages through the streams of a bus; what goes through a work queue is taken at once.

    Parameters
    ----------
    jetstream
        Of a connection to a provisioned bus.
    """

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream
        self._taking: dict[str, JetStreamContext.PullSubscription] = {}

    async def send(self, stream: str, count: int) -> None:
        """Send ``count`` messages through a stream, some at a time."""
        for begin in range(0, count, AT_ONCE):
            some = min(AT_ONCE, count - begin)
            await asyncio.gather(*(self._publish(stream) for _ in range(some)))
            if stream in _QUEUES:
                await self._take(stream, some)

    async def _publish(self, stream: str) -> None:
        subject, body = _SENT[stream]
        named = {"Nats-Msg-Id": uuid4().hex}
        await self._jetstream.publish(subject, body.encode(), headers=named, timeout=MOST_SECONDS)

    async def _take(self, stream: str, count: int) -> None:
        if stream not in self._taking:
            self._taking[stream] = await self._jetstream.pull_subscribe(
                _SENT[stream][0], "filling", stream, ConsumerConfig(max_ack_pending=AT_ONCE)
            )
        while count:
            for message in await self._taking[stream].fetch(count, MOST_SECONDS):
                await message.ack_sync(MOST_SECONDS)
                count -= 1


async def fill_ring(nats_url: str, events: int) -> None:
    """Send so many events, of which a gateway keeps the newest."""
    connection = await nats.connect(nats_url)
    try:
        await Filling(connection.jetstream()).send("EVENTS", events)
    finally:
        await connection.close()
