"""The quota of the activation stores: bytes are set aside before anything is written."""

from __future__ import annotations

import logging

from mistudio_catalog.domain.disk import FAR
from mistudio_catalog.domain.quota import over_quota, to_evict
from mistudio_catalog.storage.database import Transaction

from .caches import Caches
from .context import Context

log = logging.getLogger(__name__)

ROOM = "quota"
"""Who decides which caches leave for want of room holds this, one transaction at a time."""


class Quota:
    """Keeps what is stored, what will be written and what has yet to leave within the limit."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._caches = caches

    @property
    def _limit(self) -> int:
        return int(self._context.settings.activation_cache_limit_gb * 1024**3)

    def refuse_far_too_much(self, expected: int) -> None:
        """Refuse what is only expected, where it is far beyond the quota.

        Raises
        ------
        InsufficientStorage
            With the figures.
        """
        if expected > FAR * self._limit:
            raise over_quota(expected, self._limit)

    async def make_room(self, tx: Transaction, needed: int) -> None:
        """Let caches go that nobody has used for longest until ``needed`` bytes are within quota.

        The caller keeps them as the extraction's ``reserved_bytes`` in the same transaction, and no
        other is given room until that ends. Caches of stores that extractions need stay.

        Raises
        ------
        InsufficientStorage
            It would not fit even so; nothing has left then.
        """
        await tx.ledger.exclusively(ROOM)
        stored, reserved = await tx.stores.stored(), await tx.extractions.reserved_bytes()
        excess = stored.bytes + reserved + needed - self._limit
        if excess <= 0:
            return
        leaving, freed = to_evict(excess, await tx.caches.views(), stored)
        if freed < excess:
            raise over_quota(
                needed,
                self._limit,
                stored_bytes=stored.bytes,
                reserved_bytes=reserved,
                evictable_bytes=freed,
            )
        for cache_id in leaving:
            log.info("A cache makes room for an extraction.", extra={"cache": cache_id})
            await self._caches.let_go(tx, cache_id)

    async def has_room(self, tx: Transaction) -> bool:
        """Tell whether what was let go of has left the disk as far as what is promised needs it."""
        leaving = await tx.stores.leaving_bytes()
        if not leaving:
            return True
        promised = await tx.caches.stored_bytes() + await tx.extractions.reserved_bytes()
        return promised + leaving <= self._limit
