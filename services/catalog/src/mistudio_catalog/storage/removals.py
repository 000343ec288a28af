"""The ``removals`` table: files that nobody refers to any more, until their removal is ordered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .queries import queries
from .rows import Rows

_SQL = queries("removals")


@dataclass(frozen=True)
class Removal:
    """An artifact of a model, or the files of a dataset, by fingerprint."""

    kind: Literal["model", "dataset"]
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
        return bool(
            await _SQL.still_referred(
                self._connection, kind=removal.kind, fingerprint=removal.fingerprint
            )
        )

    async def delete(self, removal: Removal) -> bool:
        """Forget a removal; False when somebody else did."""
        found = await _SQL.delete_removal(self._connection, **_ROWS.write(removal))
        return found is not None
