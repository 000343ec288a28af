"""What a restore brought back is compared with what lies on the disk."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from mistudio_catalog.domain.cache import CacheState, Store
from mistudio_catalog.domain.outgoing import Effects, Outgoing
from mistudio_contracts import events, subjects
from mistudio_contracts.rpc import CheckStoreRequest, StoreCheck

from .context import Context

log = logging.getLogger(__name__)

CheckStore = Callable[[CheckStoreRequest], Awaitable[StoreCheck]]
"""Asks an extractor which columns of a store lie there; ServiceUnavailable where none answers."""


class Presence:
    """Asks for the files of stores that came back with a backup, until an extractor has looked.

    Until then no request is answered from such a store: a plan looks for itself. A column that
    does not lie there is forgotten, and the caches that show it are missing it; who asks for it
    again has it captured anew.
    """

    def __init__(self, context: Context, ask: CheckStore) -> None:
        self._context = context
        self._ask = ask

    async def check(self) -> None:
        """Look for the files of the stores that nobody has looked for."""
        async with self._context.database.reading() as tx:
            found = await tx.stores.unchecked()
        for store in found:
            await self._check(store)

    async def _check(self, store: Store) -> None:
        async with self._context.database.reading() as tx:
            known = await tx.stores.columns(store.store_key)
        there = await self._ask(CheckStoreRequest(store_key=store.store_key))
        # What is committed while an extractor looks is none of those.
        missing = sorted(known.keys() - set(there.hook_points))
        async with self._context.database.transaction() as tx:
            await tx.stores.lock(store.store_key)
            noted = await tx.stores.check(store.store_key, there.storage_path, missing)
            if noted:
                await tx.send(self._told(await tx.caches.of_store(store.store_key)))
        if noted and missing:
            log.warning(
                "Columns are missing.", extra={"store": store.store_key, "columns": len(missing)}
            )

    def _told(self, caches: Sequence[CacheState]) -> Effects:
        now = self._context.now()
        return tuple(
            Outgoing(
                subjects.CACHE_CHECKED,
                events.CacheChecked(cache_id=each.id, status=each.status, timestamp=now),
                each.id,
            )
            for each in caches
        )
