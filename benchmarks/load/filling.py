"""Fill what grows up to a limit and stays there, as a system that has run for a week has it.

JetStream keeps the newest block of each stream, up to 8 MiB, in memory while it is written to, and
a gateway its ring of the newest events. Neither says anything about memory that is lost.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

import nats
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from mistudio_contracts.errors import ErrorBody, ErrorCode
from mistudio_contracts.events import ModelFailed, ModelLoadProgress
from mistudio_contracts.states import LoadStage, ModelStatus

MESSAGES = 12_000
"""Of 1 kB each: more than the ring's 10,000 events, and than a block."""

PADDING = "x" * 600
AT_ONCE = 200


async def _publish(jetstream: JetStreamContext, subject: str, body: bytes) -> None:
    for _ in range(0, MESSAGES, AT_ONCE):
        await asyncio.gather(
            *(
                jetstream.publish(subject, body, headers={"Nats-Msg-Id": uuid4().hex})
                for _ in range(AT_ONCE)
            )
        )


async def _work_off(jetstream: JetStreamContext, stream: str, subject: str) -> None:
    """Send through a work queue what nobody else takes, and take it."""
    subscription = await jetstream.pull_subscribe(
        subject, durable="filling", stream=stream, config=ConsumerConfig(max_ack_pending=MESSAGES)
    )
    await _publish(jetstream, subject, PADDING.encode())
    for _ in range(0, MESSAGES, AT_ONCE):
        for message in await subscription.fetch(AT_ONCE):
            await message.ack_sync()
    await jetstream.delete_consumer(stream, "filling")


async def fill(nats_url: str) -> None:
    """Send ``MESSAGES`` through each busy stream of a bus, of a model that does not exist."""
    failed = ModelFailed(
        model_id="m_filling",
        status=ModelStatus.FAILED,
        task_id="task_filling",
        error=ErrorBody(code=ErrorCode.MODEL_LOAD_FAILED, message=PADDING),
    )
    progress = ModelLoadProgress(
        model_id="m_filling",
        status=ModelStatus.LOADING,
        task_id="task_filling",
        stage=LoadStage.QUANTIZING,
        progress=50.0,
        message=PADDING,
    )
    connection = await nats.connect(nats_url)
    try:
        jetstream = connection.jetstream(timeout=60)
        await _publish(jetstream, "model.failed", failed.model_dump_json().encode())
        await _publish(jetstream, "model.load.progress", progress.model_dump_json().encode())
        await _work_off(jetstream, "WORK", "work.filling")
        await _work_off(jetstream, "REPORTS", "report.filling")
    finally:
        await connection.close()
