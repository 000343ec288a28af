"""One question for all who want to know the same at the same time."""

from __future__ import annotations

import asyncio

import pytest

from mistudio_gateway.services.shared import Shared


class Asked:
    """Answers with how often it was asked, once it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.may = asyncio.Event()

    async def __call__(self) -> int:
        self.times += 1
        number = self.times
        await self.may.wait()
        return number


async def settled() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_at_once_shares_a_question_and_who_comes_meanwhile_the_next() -> None:
    shared: Shared[int] = Shared()
    asked = Asked()
    first = [asyncio.create_task(shared.of("a", asked)) for _ in range(3)]
    await settled()
    later = [asyncio.create_task(shared.of("a", asked)) for _ in range(3)]
    await settled()
    assert asked.times == 1, "what was written since is not in an answer that is under way"
    asked.may.set()
    assert await asyncio.gather(*first, *later) == [1, 1, 1, 2, 2, 2]
    assert await shared.of("a", asked) == 3


async def test_other_questions_do_not_wait() -> None:
    shared: Shared[int] = Shared()
    waiting, other = Asked(), Asked()
    other.may.set()
    held = asyncio.create_task(shared.of("a", waiting))
    await settled()
    assert await shared.of("b", other) == 1
    waiting.may.set()
    assert await held == 1


async def test_an_error_is_everybodys_and_the_next_question_is_asked() -> None:
    shared: Shared[int] = Shared()

    async def fail() -> int:
        raise ValueError("no")

    both = [asyncio.create_task(shared.of("a", fail)) for _ in range(2)]
    assert [type(each) for each in await asyncio.gather(*both, return_exceptions=True)] == [
        ValueError,
        ValueError,
    ]
    asked = Asked()
    asked.may.set()
    assert await shared.of("a", asked) == 1


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    shared: Shared[int] = Shared()
    asked = Asked()
    leaves, stays = (asyncio.create_task(shared.of("a", asked)) for _ in range(2))
    await settled()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    asked.may.set()
    assert await stays == 1
