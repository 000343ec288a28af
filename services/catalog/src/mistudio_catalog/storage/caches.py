"""The ``activation_caches`` table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mistudio_catalog.domain.cache import CacheState
from mistudio_catalog.domain.quota import View
from mistudio_contracts.hooks import in_order
from mistudio_contracts.values import ColumnSummary

from .queries import queries
from .rows import Rows

_SQL = queries("caches")
_ROWS = Rows(CacheState)


class CacheTable:
    """Caches, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def insert(self, cache: CacheState) -> str:
        """Keep a cache; return the id of the one that shows this view, which may be older."""
        columns = _ROWS.write(cache)
        for derived in ("storage_path", "last_accessed_at", "checked", "complete"):
            del columns[derived]
        return str(await _SQL.insert_cache(self._connection, **columns))

    async def get(self, cache_id: str) -> CacheState | None:
        found = await self._select(id=cache_id)
        return found[0] if found else None

    async def of_store(self, store_key: str) -> list[CacheState]:
        """Return the caches that show columns of a store."""
        return await self._select(store_key=store_key)

    async def touch(self, cache_id: str, at: datetime) -> None:
        await _SQL.touch_cache(self._connection, id=cache_id, at=at)

    async def columns(self, cache_id: str) -> list[ColumnSummary]:
        """Return the statistics of a cache's columns, in the order of a forward pass."""
        rows = _SQL.columns_of_cache(self._connection, id=cache_id)
        found = [ColumnSummary.model_validate(row["summary"]) async for row in rows]
        by_name = {column.hook_point: column for column in found}
        return [by_name[name] for name in in_order(by_name)]

    async def page(
        self, *, model_id: str | None, dataset_id: str | None, limit: int, offset: int
    ) -> tuple[list[CacheState], int]:
        """Return one page, newest first, and the number of all."""
        chosen = {"model_id": model_id, "dataset_id": dataset_id}
        total = await _SQL.count_caches(self._connection, **chosen)
        return await self._select(**chosen, limit=limit, offset=offset), total

    async def delete(self, cache_id: str) -> bool:
        """Delete a cache; False when it is gone."""
        return await _SQL.delete_cache(self._connection, id=cache_id) is not None

    async def of_model(self, model_id: str) -> list[tuple[str, str]]:
        """Return id and store of each cache of a model."""
        rows = _SQL.caches_of_model(self._connection, model_id=model_id)
        return [(row["id"], row["store_key"]) async for row in rows]

    async def views(self) -> list[View]:
        """Return every cache, the one that nobody has used for longest first."""
        return [
            View(row["id"], row["store_key"], tuple(row["hook_points"]), row["busy"])
            async for row in _SQL.list_views(self._connection)
        ]

    async def stored_bytes(self) -> int:
        """Return the bytes of all visible columns and token shards."""
        return int(await _SQL.stored_bytes(self._connection))

    async def least_recently_used(self) -> tuple[str, datetime] | None:
        """Return id and last use of the cache not used for longest whose store nobody needs now."""
        row = await _SQL.least_recently_used(self._connection)
        return None if row is None else (row["id"], row["last_accessed_at"])

    async def _select(
        self,
        *,
        id: str | None = None,
        store_key: str | None = None,
        model_id: str | None = None,
        dataset_id: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[CacheState]:
        rows = _SQL.list_caches(
            self._connection,
            id=id,
            store_key=store_key,
            model_id=model_id,
            dataset_id=dataset_id,
            limit=limit,
            offset=offset,
        )
        return [_ROWS.read(row) async for row in rows]
