"""Caches: listed, shown and deleted."""

from __future__ import annotations

from mistudio_catalog.domain.outgoing import Outgoing
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts import events, rpc, subjects, views

from . import views as show
from .context import Context
from .missing import missing
from .once import once
from .stores import Stores


class Caches:
    """The activation caches."""

    def __init__(self, context: Context, stores: Stores) -> None:
        self._context = context
        self._stores = stores

    async def page(self, request: rpc.ListCachesRequest) -> views.CachePage:
        async with self._context.database.reading() as tx:
            found, total = await tx.caches.page(
                model_id=request.model_id,
                dataset_id=request.dataset_id,
                limit=request.limit,
                offset=request.offset,
            )
        return views.CachePage(
            activations=[show.cache(cache) for cache in found],
            total=total,
            limit=request.limit,
            offset=request.offset,
        )

    async def get(self, request: rpc.GetCacheRequest) -> views.Cache:
        """Show a cache with its statistics; that counts as use."""
        async with self._context.database.transaction() as tx:
            await tx.caches.touch(request.cache_id, self._context.now())
            cache = await tx.caches.get(request.cache_id)
            if cache is None:
                raise missing("cache", request.cache_id)
            columns = await tx.caches.columns(cache.id)
        return show.cache(cache, columns)

    async def evict(self, request: rpc.EvictCacheRequest) -> rpc.Done:
        """Delete a cache; columns that no other cache shows leave the disk."""
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx,
                request,
                rpc.Done,
                self._context.now(),
                lambda: self._evict(tx, request.cache_id),
            )
        self._context.wake()
        return answer

    async def _evict(self, tx: Transaction, cache_id: str) -> rpc.Done:
        await self.let_go(tx, cache_id)
        return rpc.Done()

    async def let_go(self, tx: Transaction, cache_id: str) -> None:
        """Delete a cache within the caller's transaction.

        Raises
        ------
        NotFound
            There is none.
        """
        cache = await tx.caches.get(cache_id)
        if cache is None:
            raise missing("cache", cache_id)
        await tx.stores.lock(cache.store_key)
        if not await tx.caches.delete(cache_id):
            raise missing("cache", cache_id)
        freed = await self._stores.let_go(tx, cache.store_key, self._context.settings.pool)
        event = events.CacheEvicted(
            cache_id=cache_id, freed_bytes=freed, timestamp=self._context.now()
        )
        await tx.send((Outgoing(subjects.CACHE_EVICTED, event, cache_id),))
