"""What nobody uses leaves the disk: after a time, or the least recently used when room is short."""

from __future__ import annotations

import logging
from datetime import timedelta

from mistudio_catalog.storage.removals import Removal
from mistudio_contracts.errors import NotFound

from .caches import Caches
from .context import Context
from .quota import ROOM

log = logging.getLogger(__name__)


class Retention:
    """Keeps the activation stores and the prepared models within their limits.

    Replicas sweep whenever they like. What leaves is decided and let go of in one transaction, one
    at a time among all of them and those that make room for extractions: two that come together
    find the room that the other has made, and each cache leaves once.
    """

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._caches = caches

    async def sweep(self) -> None:
        """Evict what is unused for too long, then the least recently used until there is room."""
        while await self._sweep_one():
            self._context.wake()

    async def sweep_models(self) -> None:
        """Let the artifacts leave that nobody used for longest, until there is room."""
        while await self._sweep_model():
            self._context.wake()

    async def _sweep_model(self) -> bool:
        most = int(self._context.settings.model_cache_limit_gb * 1024**3)
        async with self._context.database.transaction() as tx:
            await tx.ledger.exclusively(ROOM)
            stored = await tx.models.artifact_bytes()
            found = await tx.models.least_recently_used_artifact() if stored > most else None
            if found is None:
                return False
            pool, fingerprint = found
            log.info("An artifact leaves.", extra={"artifact": fingerprint, "stored_bytes": stored})
            await tx.models.artifact_leaves(pool, fingerprint)
            await tx.removals.insert(Removal("model", fingerprint, pool))
        return True

    async def _sweep_one(self) -> bool:
        settings = self._context.settings
        oldest = self._context.now() - timedelta(days=settings.activation_cache_days)
        most = int(settings.activation_cache_limit_gb * 1024**3)
        try:
            async with self._context.database.transaction() as tx:
                await tx.ledger.exclusively(ROOM)
                candidate = await tx.caches.least_recently_used()
                if candidate is None:
                    return False
                cache_id, used_at = candidate
                stored = await tx.caches.stored_bytes()
                if used_at >= oldest and stored <= most:
                    return False
                log.info("A cache is let go of.", extra={"cache": cache_id, "stored_bytes": stored})
                await self._caches.let_go(tx, cache_id)
        except NotFound:
            log.info("Somebody else deleted it first.")
        return True
