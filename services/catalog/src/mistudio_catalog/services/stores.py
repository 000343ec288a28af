"""Activation stores: what they hold for a request, and what must leave the disk."""

from __future__ import annotations

import logging

from mistudio_catalog.domain.cache import CacheState, Eviction
from mistudio_catalog.domain.extraction import Extent, ExtractionState, Holding
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts.base import new_id
from mistudio_contracts.reports import StoreEvictedReport

from .context import Context

log = logging.getLogger(__name__)


class Stores:
    """The stores of the pool. Callers lock the store before they ask or change."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def holding(
        self, tx: Transaction, extraction: ExtractionState, store_key: str
    ) -> Holding | None:
        """Return a cache with all that the extraction asks for, or None.

        The columns must cover the rows, and what tokenisation makes of exactly these rows must be
        known from an earlier extraction; else the plan finds it out and computes nothing twice.
        """
        store = await tx.stores.get(store_key)
        extent = await tx.stores.extent(store_key, extraction.rows_considered)
        columns = await tx.stores.columns(store_key)
        covered = {
            name
            for name, column in columns.items()
            if column.rows_considered >= extraction.rows_considered
        }
        if store is None or not store.checked:
            return None
        if extent is None or not covered.issuperset(extraction.hook_points):
            return None
        return await self.keep_cache(tx, extraction, store_key, extent, seconds=None)

    async def keep_cache(
        self,
        tx: Transaction,
        extraction: ExtractionState,
        store_key: str,
        extent: Extent,
        seconds: float | None,
    ) -> Holding:
        """Keep the cache that shows the extraction's columns; there is one for each view."""
        store = await tx.stores.get(store_key)
        columns = await tx.stores.columns(store_key)
        if store is None:
            raise LookupError(f"the store {store_key} is not kept")
        chosen = [columns[name] for name in extraction.hook_points]
        widths = {column.width for column in chosen}
        width = widths.pop() if len(widths) == 1 else None
        size = sum(column.bytes for column in chosen) + store.token_bytes
        now = self._context.now()
        cache_id = await tx.caches.insert(
            CacheState(
                id=new_id("act"),
                model_id=extraction.model_id,
                dataset_id=extraction.dataset_id,
                extraction_id=extraction.id,
                store_key=store_key,
                storage_path=store.storage_path,
                dtype=extraction.dtype,
                tokenization=extraction.tokenization,
                rows_considered=extraction.rows_considered,
                sample_count=extent.samples,
                token_count=extent.tokens,
                hook_points=extraction.hook_points,
                width=width,
                file_size_bytes=size,
                extraction_time_seconds=seconds,
                created_at=now,
                last_accessed_at=now,
            )
        )
        return Holding(
            cache_id=cache_id,
            storage_path=store.storage_path,
            width=width,
            bytes=size,
            extent=extent,
        )

    async def let_go(
        self,
        tx: Transaction,
        store_key: str,
        pool: str,
        unfinished: ExtractionState | None = None,
    ) -> int:
        """Mark the columns that nobody needs any more for deletion; return their bytes.

        From now on they answer no request. Their files leave the disk when no extraction runs
        on the store. A store that nobody speaks of leaves as a whole, half-written files included;
        else those of the columns that ``unfinished`` began leave.
        """
        await tx.stores.lock(store_key)
        viewed = await tx.stores.columns_viewed(store_key)
        wanted = await tx.extractions.columns_wanted(store_key)
        columns = await tx.stores.columns(store_key)
        unused = [name for name in columns if name not in viewed | wanted]
        freed = sum(columns[name].bytes for name in unused)
        begun = unfinished.hook_points if unfinished is not None else ()
        half_written = [name for name in begun if name not in columns.keys() | wanted]
        whole = not viewed and not await tx.extractions.active_on_store(store_key)
        if whole:
            store = await tx.stores.get(store_key)
            freed += store.token_bytes if store else 0
            await tx.stores.delete(store_key)
        elif unused or half_written:
            await tx.stores.delete_columns(store_key, unused)
        else:
            return 0
        await tx.stores.insert_eviction(
            Eviction(
                task_id=new_id("task"),
                store_key=store_key,
                pool=pool,
                hook_points=None if whole else (*unused, *half_written),
                created_at=self._context.now(),
                bytes=freed + (unfinished.reserved_bytes if unfinished is not None else 0),
            )
        )
        return freed

    async def abandon(self, tx: Transaction, extraction: ExtractionState) -> None:
        """Let go of what an extraction leaves behind that did not complete."""
        if extraction.store_key is not None:
            await self.let_go(tx, extraction.store_key, extraction.pool, extraction)

    async def order_evictions(self) -> None:
        """Order the evictions whose stores nobody works on."""
        async with self._context.database.reading() as tx:
            due = await tx.stores.evictions_to_order()
        for eviction in due:
            async with self._context.database.transaction() as tx:
                await tx.stores.lock(eviction.store_key)
                if await tx.extractions.running_on_store(eviction.store_key):
                    continue
                if await tx.stores.order_eviction(eviction, self._context.now()):
                    await tx.send(eviction.order())

    async def evicted(self, report: StoreEvictedReport) -> None:
        """The files are gone: whoever waits for the store may go on."""
        async with self._context.database.transaction() as tx:
            done = await tx.stores.finish_eviction(report.task_id)
        if done:
            self._context.wake()
