"""One question for all who want to know the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


@dataclass
class _Line(Generic[Answer]):
    asking: asyncio.Task[Answer] | None = None
    next: asyncio.Task[Answer] | None = None


class Shared(Generic[Answer]):
    """Questions that are under way, by what they ask.

    Who comes while a question is being asked waits for the one after it, which is asked for all
    who came meanwhile. So an answer is never older than who gets it, whatever was written before,
    and a crowd that comes at once is two questions.
    """

    def __init__(self) -> None:
        self._lines: dict[Hashable, _Line[Answer]] = {}

    async def of(self, key: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer to a question that is asked from now on.

        Parameters
        ----------
        key
            Says what is asked: who has the same one gets the same answer.
        ask
            Asks. What it raises is raised to everybody who waits.
        """
        line = self._lines.setdefault(key, _Line())
        if line.next is None:
            line.next = asyncio.create_task(self._ask(key, line, ask), name="shared question")
            # Whoever waited may be gone by then.
            line.next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(line.next)

    async def _ask(
        self, key: Hashable, line: _Line[Answer], ask: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        if line.asking is not None:
            await asyncio.wait({line.asking})
        line.asking, line.next = line.next, None
        try:
            return await ask()
        finally:
            if line.next is None:
                del self._lines[key]
