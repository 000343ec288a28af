"""Ending tasks, also those that lose a cancellation."""

from __future__ import annotations

import asyncio

from mistudio_servicekit.tasks import cancel
from mistudio_testkit.cancelling import Stubborn


async def test_a_task_that_loses_its_first_cancellation_ends_all_the_same() -> None:
    stubborn = Stubborn()

    async def forever() -> None:
        while True:
            await stubborn.wait()

    task = asyncio.create_task(forever())
    await stubborn.begun.wait()
    await cancel(task)
    assert task.cancelled()


async def test_what_failed_or_never_began_is_no_hindrance() -> None:
    async def fail() -> None:
        raise ValueError

    failed = asyncio.create_task(fail())
    await asyncio.wait({failed})
    await cancel(None, failed)
    assert isinstance(failed.exception(), ValueError)
