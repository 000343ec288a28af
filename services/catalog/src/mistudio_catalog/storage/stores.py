"""Stores, their columns and extents, and the evictions under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mistudio_catalog.domain.cache import Column, Eviction, Store
from mistudio_catalog.domain.extraction import Extent
from mistudio_catalog.domain.quota import Stored
from mistudio_contracts.values import ColumnSummary

from .queries import queries
from .rows import Rows

_SQL = queries("stores")
_STORES = Rows(Store)
_COLUMNS = Rows(Column)
_EXTENTS = Rows(Extent)
_EVICTIONS = Rows(Eviction)


class StoreTables:
    """The tables ``stores``, ``store_columns``, ``store_extents`` and ``store_evictions``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def lock(self, store_key: str) -> None:
        """Be the only transaction that plans, commits or evicts on a store, until it ends."""
        await _SQL.lock_store(self._connection, store_key=store_key)

    async def get(self, store_key: str) -> Store | None:
        return _STORES.maybe(await _SQL.get_store(self._connection, store_key=store_key))

    async def save(self, store: Store) -> None:
        columns = _STORES.write(store)
        del columns["checked"]
        await _SQL.upsert_store(self._connection, **columns)

    async def unchecked(self) -> list[Store]:
        """Return the stores whose files nobody has looked for since a restore."""
        return [_STORES.read(row) async for row in _SQL.unchecked_stores(self._connection)]

    async def uncheck(self) -> None:
        """Have every store's files looked for."""
        await _SQL.uncheck_stores(self._connection)

    async def check(self, store_key: str, storage_path: str, missing: Sequence[str]) -> bool:
        """Note where a store lies and which of its columns do not; False when somebody did."""
        found = await _SQL.check_store(
            self._connection, store_key=store_key, storage_path=storage_path
        )
        if found is None:
            return False
        await _SQL.move_extractions(
            self._connection, store_key=store_key, storage_path=storage_path
        )
        await self.delete_columns(store_key, missing)
        await _SQL.forget_tokens(self._connection, store_key=store_key)
        return True

    async def columns(self, store_key: str) -> dict[str, Column]:
        rows = _SQL.store_columns(self._connection, store_key=store_key)
        return {row["hook_point"]: _COLUMNS.read(row) async for row in rows}

    async def save_column(
        self, store_key: str, summary: ColumnSummary, rows_considered: int
    ) -> None:
        """Keep a column's statistics; what it covers only ever grows."""
        await _SQL.upsert_column(
            self._connection,
            store_key=store_key,
            hook_point=summary.hook_point,
            rows_considered=rows_considered,
            bytes=summary.bytes,
            width=summary.width,
            summary=summary,
        )

    async def delete_columns(self, store_key: str, hook_points: Sequence[str]) -> None:
        await _SQL.delete_columns(
            self._connection, store_key=store_key, hook_points=list(hook_points)
        )

    async def delete(self, store_key: str) -> None:
        await _SQL.delete_store(self._connection, store_key=store_key)

    async def extent(self, store_key: str, rows_considered: int) -> Extent | None:
        record = await _SQL.get_extent(
            self._connection, store_key=store_key, rows_considered=rows_considered
        )
        return _EXTENTS.maybe(record)

    async def save_extent(self, store_key: str, extent: Extent) -> None:
        await _SQL.upsert_extent(self._connection, store_key=store_key, **_EXTENTS.write(extent))

    async def columns_viewed(self, store_key: str) -> set[str]:
        """Return the columns that caches show."""
        rows = _SQL.columns_viewed(self._connection, store_key=store_key)
        return {row["hook_point"] async for row in rows}

    async def columns_leaving(self, store_key: str) -> set[str]:
        """Return the columns whose files are to leave the disk."""
        rows = _SQL.columns_leaving(self._connection, store_key=store_key)
        return {row["hook_point"] async for row in rows}

    async def insert_eviction(self, eviction: Eviction) -> None:
        columns = _EVICTIONS.write(eviction)
        for later in ("ordered_at", "times_ordered"):
            del columns[later]
        await _SQL.insert_eviction(self._connection, **columns)

    async def eviction_pending(self, store_key: str) -> bool:
        return bool(await _SQL.eviction_pending(self._connection, store_key=store_key))

    async def evictions_to_order(self) -> list[Eviction]:
        """Return the evictions whose stores nobody works on, one a store."""
        return [_EVICTIONS.read(row) async for row in _SQL.evictions_to_order(self._connection)]

    async def order_eviction(self, eviction: Eviction, at: datetime) -> bool:
        """Note that an eviction is ordered; False when somebody else did since it was read."""
        found = await _SQL.eviction_ordered(
            self._connection, task_id=eviction.task_id, ordered_at=eviction.ordered_at, at=at
        )
        return found is not None

    async def stored(self) -> Stored:
        """Return the bytes of every column and of every store's tokens."""
        columns = {
            (row["store_key"], row["hook_point"]): int(row["bytes"])
            async for row in _SQL.all_columns(self._connection)
        }
        rows = _SQL.all_token_bytes(self._connection)
        return Stored(columns, {row["store_key"]: int(row["token_bytes"]) async for row in rows})

    async def leaving_bytes(self) -> int:
        """Return the bytes of the evictions under way."""
        return int(await _SQL.leaving_bytes(self._connection))

    async def silent_evictions(self, before: datetime) -> list[Eviction]:
        rows = _SQL.silent_evictions(self._connection, before=before)
        return [_EVICTIONS.read(row) async for row in rows]

    async def set_evictions_back(self, now: datetime, beyond: datetime) -> None:
        """Take what was heard after ``beyond``, by a clock since set back, for heard now."""
        await _SQL.set_evictions_back(self._connection, now=now, beyond=beyond)

    async def finish_eviction(self, task_id: str) -> bool:
        """Forget an eviction that is done; False when it was forgotten before."""
        found = await _SQL.finish_eviction(self._connection, task_id=task_id)
        return found is not None
