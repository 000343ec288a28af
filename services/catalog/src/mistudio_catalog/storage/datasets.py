"""The ``datasets`` table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mistudio_catalog.domain.dataset import DatasetState

from .queries import queries
from .rows import Rows

_SQL = queries("datasets")
_ROWS = Rows(DatasetState)


class DatasetTable:
    """Datasets, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def insert(self, dataset: DatasetState) -> None:
        await _SQL.insert_dataset(self._connection, **_ROWS.write(dataset))

    async def save(self, dataset: DatasetState) -> None:
        await _SQL.save_dataset(self._connection, **_ROWS.write(dataset))

    async def get(self, dataset_id: str) -> DatasetState | None:
        return _ROWS.maybe(await _SQL.get_dataset(self._connection, id=dataset_id))

    async def lock(self, dataset_id: str) -> DatasetState | None:
        """Return the dataset, which no other transaction changes until this one ends."""
        return _ROWS.maybe(await _SQL.lock_dataset(self._connection, id=dataset_id))

    async def page(self, *, limit: int, offset: int) -> tuple[list[DatasetState], int]:
        """Return one page, newest first and without previews, and the number of all."""
        total = await _SQL.count_datasets(self._connection)
        rows = _SQL.list_datasets(self._connection, limit=limit, offset=offset)
        return [_ROWS.read(row) async for row in rows], total

    async def delete(self, dataset_id: str) -> None:
        await _SQL.delete_dataset(self._connection, id=dataset_id)

    async def silent(self, before: datetime) -> list[DatasetState]:
        """Return the datasets whose ingestion was last ordered before then."""
        rows = _SQL.silent_datasets(self._connection, before=before)
        return [_ROWS.read(row) async for row in rows]

    async def set_back(self, now: datetime, beyond: datetime) -> None:
        """Take what was heard after ``beyond``, by a clock since set back, for heard now."""
        await _SQL.set_datasets_back(self._connection, now=now, beyond=beyond)

    async def heard_of(self, dataset_id: str, at: datetime) -> None:
        await _SQL.heard_of_dataset(self._connection, id=dataset_id, at=at)
