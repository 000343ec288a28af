"""The outbox: messages that commit together with the state that decided them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mistudio_catalog.domain.outgoing import Outgoing

from .queries import queries

_SQL = queries("outbox")


@dataclass(frozen=True)
class Due:
    """One message that waits to be published; ``payload`` is its JSON.

    ``traceparent`` names the span that decided it.
    """

    seq: int
    id: str
    subject: str
    pool: str
    entity_id: str
    payload: str
    traceparent: str | None


class OutboxTable:
    """The ``outbox`` table, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def send(self, messages: Sequence[Outgoing], traceparent: str | None) -> None:
        """Put messages in line, in their order, and wake the relays when this commits."""
        await _SQL.send(
            self._connection,
            subjects=[each.subject.pattern for each in messages],
            pools=[each.pool for each in messages],
            entity_ids=[each.entity_id for each in messages],
            payloads=[each.payload.model_dump_json() for each in messages],
            traceparent=traceparent,
        )
        await _SQL.notify(self._connection)

    async def due(self, limit: int) -> list[Due]:
        """Return what waits, oldest first."""
        rows = [row async for row in _SQL.due(self._connection, limit=limit)]
        return [
            Due(
                seq=row["seq"],
                id=str(row["id"]),
                subject=row["subject"],
                pool=row["pool"],
                entity_id=row["entity_id"],
                payload=row["payload"],
                traceparent=row["traceparent"],
            )
            for row in rows
        ]

    async def published(self, seqs: Sequence[int]) -> None:
        """Forget messages that the bus keeps now."""
        await _SQL.published(self._connection, seqs=list(seqs))

    async def already_published(self, ids: Sequence[str]) -> None:
        """Forget messages that the bus keeps, by their ids."""
        await _SQL.already_published(self._connection, ids=list(ids))

    async def park(self, seq: int, reason: str) -> None:
        """Set a message aside that the bus will never take, so that the others go on."""
        await _SQL.park(self._connection, seq=seq, reason=reason)

    async def lag(self) -> tuple[int, float]:
        """Return how many messages wait, and for how many seconds the oldest has."""
        row = await _SQL.lag(self._connection)
        return row["messages"], row["seconds"]

    async def become_relay(self) -> bool:
        """Try to become the one relay, for as long as this connection lives."""
        return bool(await _SQL.become_relay(self._connection))
