"""The ``removals`` table: files that nobody refers to any more, until their removal is ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from .queries import queries
from .rows import Rows

_SQL = queries("removals")

Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Removal:
    """An artifact of a model, or the files of a dataset, by fingerprint."""

    kind: Kind
    fingerprint: str
    pool: str


_ROWS = Rows(Removal)


class RemovalTable:
    """Removals, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def insert(self, removal: Removal) -> None:
        await _SQL.insert_removal(self._connection, **_ROWS.write(removal))

    async def settled(self) -> list[Removal]:
        """Return the removals that no work in progress could be about to refer to."""
        return [_ROWS.read(row) async for row in _SQL.settled_removals(self._connection)]

    async def still_referred(self, removal: Removal) -> bool:
        return bool(await self.referred(removal.kind, [removal.fingerprint]))

    async def referred(self, kind: Kind, fingerprints: Sequence[str]) -> set[str]:
        """Return those fingerprints whose files a model or a dataset needs."""
        rows = _SQL.referred(self._connection, kind=kind, fingerprints=list(fingerprints))
        return {row["fingerprint"] async for row in rows}

    async def known_since(self) -> datetime | None:
        """Return since when this database knows of anything; None where it knows of nothing."""
        found: datetime | None = await _SQL.known_since(self._connection)
        return found

    async def delete(self, removal: Removal) -> bool:
        """Forget a removal; False when somebody else did."""
        found = await _SQL.delete_removal(self._connection, **_ROWS.write(removal))
        return found is not None
