"""What the queues lost is found by looking at the rows; what is old is forgotten."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from mistudio_catalog.domain import dataset as datasets
from mistudio_catalog.domain import loading, orders
from mistudio_catalog.domain.cache import Eviction
from mistudio_catalog.domain.extraction import ExtractionPhase, ExtractionState
from mistudio_catalog.domain.outgoing import Effects, Outgoing
from mistudio_catalog.storage.database import Transaction
from mistudio_servicekit.tracing import within

from .context import Context

log = logging.getLogger(__name__)

QueuesEmpty = Callable[[Outgoing], Awaitable[bool]]
"""Whether neither the order's queue nor any report to the catalog holds a message."""

KEPT_COMMANDS = timedelta(days=7)
KEPT_ANSWERS = timedelta(hours=24)
KEPT_VOID = timedelta(hours=1)

CLOCKS_DIFFER = timedelta(seconds=2)
"""By so much the clocks of replicas may."""

EVICTION_ORDERS = 3
"""How often an eviction is ordered that is taken and never reported."""


class Reconcile:
    """Gives orders again that were lost, with a rebuilt stream for instance.

    An order is given again when its task has been silent, nothing waits to be published, and the
    queues of its subject and of the reports are empty: then nobody has it. Handlers of orders are
    idempotent, so one too many costs work, never truth.
    """

    def __init__(self, context: Context, queues_empty: QueuesEmpty) -> None:
        self._context = context
        self._queues_empty = queues_empty

    async def set_back(self) -> None:
        """Let no silence be hidden behind a time that is yet to come.

        Where the clock was set back, what was heard before would else be newest for as long.
        """
        now = self._context.now()
        beyond = now + CLOCKS_DIFFER
        async with self._context.database.reading() as tx:
            await tx.devices.set_back(now, beyond)
            await tx.models.set_back(now, beyond)
            await tx.datasets.set_back(now, beyond)
            await tx.extractions.set_back(now, beyond)
            await tx.stores.set_evictions_back(now, beyond)

    async def give_again(self) -> None:
        """Give lost orders again."""
        settings = self._context.settings
        before = self._context.now() - timedelta(seconds=settings.work_silence_seconds)
        async with self._context.database.reading() as tx:
            if (await tx.outbox.lag())[0]:
                return
            models = await tx.models.silent(before)
            found = await tx.datasets.silent(before)
            extractions = await tx.extractions.silent(before)
            evictions = await tx.stores.silent_evictions(before)
        for model in models:
            if await self._lost(loading.order(model)):
                await self._model(model.id, before)
        for dataset in found:
            if await self._lost(datasets.order(dataset)):
                await self._dataset(dataset.id, before)
        for extraction in extractions:
            async with self._context.database.reading() as tx:
                outstanding = await self._outstanding(tx, extraction)
            if await self._lost(outstanding):
                await self._extraction(extraction.id, before)
        for eviction in evictions:
            if await self._lost(eviction.order()):
                await self._eviction(eviction)

    async def _lost(self, outstanding: Effects) -> bool:
        return bool(outstanding) and await self._queues_empty(outstanding[0])

    async def _model(self, model_id: str, before: datetime) -> None:
        async with self._context.database.transaction() as tx:
            model = await tx.models.lock(model_id)
            if model is None or (model.heard_at or before) >= before:
                return
            await tx.models.heard_of(model.id, self._context.now())
            with within(model.traceparent):
                await self._again(tx, loading.order(model), model.id)

    async def _dataset(self, dataset_id: str, before: datetime) -> None:
        async with self._context.database.transaction() as tx:
            dataset = await tx.datasets.lock(dataset_id)
            if dataset is None or dataset.heard_at >= before:
                return
            await tx.datasets.heard_of(dataset.id, self._context.now())
            await self._again(tx, datasets.order(dataset), dataset.id)

    async def _extraction(self, extraction_id: str, before: datetime) -> None:
        async with self._context.database.transaction() as tx:
            extraction = await tx.extractions.lock(extraction_id)
            if extraction is None or (extraction.heard_at or before) >= before:
                return
            await tx.extractions.heard_of(extraction.id, self._context.now())
            with within(extraction.traceparent):
                await self._again(tx, await self._outstanding(tx, extraction), extraction.id)

    async def _outstanding(self, tx: Transaction, extraction: ExtractionState) -> Effects:
        if extraction.phase is ExtractionPhase.PLANNING:
            return orders.plan_order(extraction, self._context.settings.shard_tokens)
        if extraction.phase is ExtractionPhase.CAPTURING:
            ordered = await tx.shards.ordered(extraction.id)
            if not ordered and extraction.plan_ordered:
                return orders.plan_order(extraction, self._context.settings.shard_tokens)
            wish = await tx.models.wish(extraction.model_id)
            devices = await tx.devices.online(extraction.pool)
            return orders.shard_orders(extraction, wish, ordered, devices)
        if extraction.phase is ExtractionPhase.COMMITTING:
            return orders.commit_order(extraction)
        return ()

    async def _eviction(self, eviction: Eviction) -> None:
        async with self._context.database.transaction() as tx:
            if eviction.times_ordered >= EVICTION_ORDERS:
                log.error("An eviction was never reported.", extra={"store": eviction.store_key})
                await tx.stores.finish_eviction(eviction.task_id)
            elif await tx.stores.order_eviction(eviction, self._context.now()):
                await self._again(tx, eviction.order(), eviction.store_key)

    async def _again(self, tx: Transaction, lost: Effects, entity_id: str) -> None:
        log.warning("Orders are given again.", extra={"entity": entity_id, "orders": len(lost)})
        await tx.send(lost)

    async def forget(self) -> None:
        """Delete what only served to make repeats harmless, once no repeat can come, and old audit.

        Of several replicas that come to it together, one does it.
        """
        now = self._context.now()
        async with self._context.database.transaction() as tx:
            if not await tx.ledger.try_exclusively("forget"):
                return
            await tx.ledger.forget(
                handled=now - KEPT_COMMANDS, answers=now - KEPT_ANSWERS, void=now - KEPT_VOID
            )
            await tx.audit.forget(now - timedelta(days=self._context.settings.audit_days))
