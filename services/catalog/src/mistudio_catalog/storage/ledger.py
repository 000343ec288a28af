"""What makes repeats harmless: handled messages, answers kept by key, counted loads, void tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .queries import queries

_SQL = queries("ledger")


@dataclass(frozen=True)
class KeptAnswer:
    """The answer once given to a request; ``request`` is the request's digest."""

    request: str
    answer: dict[str, Any]


class LedgerTables:
    """The tables ``inbox``, ``idempotency_keys``, ``load_requests`` and ``void_tasks``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def first_handling(self, message_id: str, subject: str) -> bool:
        """Note that a message is handled; False when it was before."""
        found = await _SQL.first_handling(self._connection, message_id=message_id, subject=subject)
        return found is not None

    async def was_handled(self, message_id: str) -> bool:
        """Whether :meth:`first_handling` has noted a message."""
        return bool(await _SQL.was_handled(self._connection, message_id=message_id))

    async def exclusively(self, scope: str) -> None:
        """Wait to be the only transaction in ``scope``, until this one ends."""
        await _SQL.exclusively(self._connection, scope=scope)

    async def try_exclusively(self, scope: str) -> bool:
        """Be the only transaction in ``scope``, or return False."""
        return bool(await _SQL.try_exclusively(self._connection, scope=scope))

    async def get_answer(self, actor: str, key: str) -> KeptAnswer | None:
        row = await _SQL.get_answer(self._connection, actor=actor, key=key)
        return None if row is None else KeptAnswer(row["request"], row["answer"])

    async def keep_answer(
        self, actor: str, key: str, request: str, answer: Any, at: datetime
    ) -> None:
        await _SQL.keep_answer(
            self._connection, actor=actor, key=key, request=request, answer=answer, at=at
        )

    async def loads_since(self, actor: str, since: datetime) -> tuple[int, datetime | None]:
        """Return how many loads an actor asked for since then, and when the first was."""
        row = await _SQL.loads_since(self._connection, actor=actor, since=since)
        return row["loads"], row["first"]

    async def count_load(self, actor: str, at: datetime) -> None:
        await _SQL.count_load(self._connection, actor=actor, at=at)

    async def void_tasks(self, task_ids: Sequence[str], pool: str, at: datetime) -> None:
        """Remember tasks that workers may still be at, to repeat it with heartbeats."""
        await _SQL.void_tasks(self._connection, task_ids=list(task_ids), pool=pool, at=at)

    async def recently_void(self, pool: str, since: datetime) -> list[str]:
        rows = _SQL.recently_void(self._connection, pool=pool, since=since)
        return [row["task_id"] async for row in rows]

    async def forget(self, *, handled: datetime, answers: datetime, void: datetime) -> None:
        """Delete what is older than the moments given; a kept load counts for ``answers`` too."""
        await _SQL.forget_handled(self._connection, before=handled)
        await _SQL.forget_answers(self._connection, before=answers)
        await _SQL.forget_loads(self._connection, before=answers)
        await _SQL.forget_void(self._connection, before=void)
