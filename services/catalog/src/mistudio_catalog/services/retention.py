"""Caches that nobody uses leave: after a time, or the least recently used when room is short."""

from __future__ import annotations

import logging
from datetime import timedelta

from mistudio_contracts import rpc
from mistudio_contracts.errors import NotFound

from .caches import Caches
from .context import Context

log = logging.getLogger(__name__)

AT_ONCE = 100


class Retention:
    """Keeps the activation stores within their limits."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._caches = caches

    async def sweep(self) -> None:
        """Evict what is unused for too long, then the least recently used until there is room."""
        settings = self._context.settings
        oldest = self._context.now() - timedelta(days=settings.activation_cache_days)
        most = int(settings.activation_cache_limit_gb * 1024**3)
        async with self._context.database.reading() as tx:
            candidates = await tx.caches.least_recently_used(AT_ONCE)
        for cache_id, used_at in candidates:
            async with self._context.database.reading() as tx:
                stored = await tx.caches.stored_bytes()
            if used_at >= oldest and stored <= most:
                return
            log.info("A cache is let go of.", extra={"cache": cache_id, "stored_bytes": stored})
            try:
                await self._caches.evict(rpc.EvictCacheRequest(cache_id=cache_id))
            except NotFound:
                log.info("Somebody else deleted it first.", extra={"cache": cache_id})
