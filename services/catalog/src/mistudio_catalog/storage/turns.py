"""The ``model_turns`` table: rows only while the models that extractions need do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mistudio_catalog.domain.turns import Claim

from .queries import queries

_SQL = queries("turns")


class TurnTable:
    """Turns, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def claims(self, pool: str, now: datetime) -> list[Claim]:
        """Return the models that extractions need; one that is at work already holds its turn."""
        rows = [row async for row in _SQL.list_claims(self._connection, pool=pool)]
        return [
            Claim(
                model_id=row["model_id"],
                bytes=row["bytes"],
                holds=row["working"] if row["holds"] is None else row["holds"],
                since=row["since"] or now,
            )
            for row in rows
        ]

    async def keep(self, pool: str, claims: Sequence[Claim]) -> None:
        """Keep exactly these; nobody has to wait where there are none."""
        ids = [claim.model_id for claim in claims]
        await _SQL.keep_turns_of(self._connection, pool=pool, model_ids=ids)
        for claim in claims:
            await _SQL.save_turn(
                self._connection,
                model_id=claim.model_id,
                pool=pool,
                holds=claim.holds,
                since=claim.since,
            )

    async def of(self, model_id: str, pool: str) -> tuple[bool, bool, int]:
        """Return whether anybody has to wait, whether the model need not, and devices online."""
        row = await _SQL.turn_of_model(self._connection, model_id=model_id, pool=pool)
        return row["contended"], row["holds"], row["devices"]
