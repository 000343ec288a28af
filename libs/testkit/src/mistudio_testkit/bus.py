"""What a test asks of the bus while a service works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nats.js import JetStreamContext

from mistudio_contracts.subjects import Subject

DEADLINE = 90.0
"""Seconds to wait for anything; generous, since nothing is measured."""


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until a condition holds.

    Raises
    ------
    TimeoutError
        When it does not within :data:`DEADLINE`.
    """

    async def poll() -> None:
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)

    await asyncio.wait_for(poll(), DEADLINE)


async def kept(jetstream: JetStreamContext, subject: Subject, pool: str = "default") -> int:
    """Return how many messages of a subject lie in its stream.

    Those of a work queue lie there from the moment that their publishing is confirmed until they
    are done with. A consumer's count of them would lag behind both.

    Raises
    ------
    nats.js.errors.NotFoundError
        When there is no such stream.
    """
    name = subject.name(pool)
    found = await jetstream.stream_info(str(subject.stream), subjects_filter=name)
    return int((found.state.subjects or {}).get(name, 0))


async def settled(jetstream: JetStreamContext, subject: Subject) -> None:
    """Wait until no message of a work queue's subject is left."""

    async def none_left() -> bool:
        return await kept(jetstream, subject) == 0

    await until(none_left)
