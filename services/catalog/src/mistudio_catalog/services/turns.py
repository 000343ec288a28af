"""Models that do not fit together take turns, so that their extractions do not drive each other
out of memory."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from mistudio_catalog.domain.turns import BUDGET_SHARE, fit, share
from mistudio_catalog.storage.database import Transaction

from .context import Context

log = logging.getLogger(__name__)

ORDERS_A_DEVICE = 2
"""Shards that are out for each device while others wait: one at work, and one to go on with."""


class Turns:
    """Says which models' work goes out now."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def settle(self) -> None:
        """Decide whose turn it is."""
        now, pool = self._context.now(), self._context.settings.pool
        wait = timedelta(seconds=self._context.settings.model_switch_max_wait_seconds)
        async with self._context.database.transaction() as tx:
            await tx.ledger.exclusively(f"turns:{pool}")
            claims = await tx.turns.claims(pool, now)
            budget = await self._budget(tx, pool)
            if fit(claims, budget):
                await tx.turns.keep(pool, [])
                return
            chosen = share(claims, budget, wait, now)
            turned = [
                claim
                if claim.holds is (claim.model_id in chosen)
                else replace(claim, holds=not claim.holds, since=now)
                for claim in claims
            ]
            await tx.turns.keep(pool, turned)
        began = sorted(set(chosen) - {claim.model_id for claim in claims if claim.holds})
        if began:
            log.info("It is their turn now.", extra={"models": began})

    async def _budget(self, tx: Transaction, pool: str) -> int | None:
        # Any device may be given any shard, so that the smallest decides.
        online = [each for each in await tx.devices.of_pool(pool) if each.online]
        budgets = [int(each.memory_budget_bytes * BUDGET_SHARE) for each in online]
        return min(budgets, default=None)

    async def may_run(self, tx: Transaction, model_id: str) -> bool:
        """Return whether the model may be brought in for its extractions."""
        window, _ = await self.window(tx, model_id)
        return window > 0

    async def window(self, tx: Transaction, model_id: str) -> tuple[int, int]:
        """Return how many shards of an extraction on the model may be out now, and for how many
        devices.

        None while it is another's turn; few while somebody waits, for what is out delays them; else
        enough that no device of a large pool waits for the catalog.
        """
        settings = self._context.settings
        contended, holds, devices = await tx.turns.of(model_id, settings.pool)
        enough = ORDERS_A_DEVICE * max(devices, 1)
        if not contended:
            return max(settings.shard_window, enough), devices
        return (enough if holds else 0), devices
