"""Figures over all tables, for whoever watches the catalog."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .queries import queries

_SQL = queries("figures")


class Figures:
    """Counts and waits, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def counts(self, retired_before: datetime) -> dict[str, dict[str, int]]:
        """Return how many rows there are of what, by state; states without any are left out.

        Offline devices that were last seen before ``retired_before`` are not counted.
        """
        found: dict[str, dict[str, int]] = {}
        async for row in _SQL.counts(self._connection, retired_before=retired_before):
            found.setdefault(row["what"], {})[row["state"]] = row["rows"]
        return found

    async def waits(self, now: datetime) -> dict[str, float]:
        """Return the seconds that the oldest waiting ``load`` and ``extraction`` have waited."""
        return dict(await _SQL.waits(self._connection, now=now))
