"""What workers report of extractions: planned, captured, committed, failed, and live progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mistudio_catalog.domain import disk, ending, extracting, orders
from mistudio_catalog.domain.cache import Store
from mistudio_catalog.domain.extraction import (
    Extent,
    ExtractionPhase,
    ExtractionState,
    ShardState,
    shards_of,
)
from mistudio_catalog.domain.model import ModelState
from mistudio_catalog.domain.outgoing import Effects
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts import reports
from mistudio_contracts.errors import ErrorBody, ErrorCode, InsufficientStorage
from mistudio_servicekit.tracing import within

from .context import Context
from .quota import Quota
from .stores import Stores
from .turns import Turns

PLANNED_AHEAD = 4
"""Windows of shards that are planned and not yet captured, at most."""


class Capture:
    """The way of a running extraction, moved by reports.

    Each report is taken once: by the task it names, the phase it fits, and its shard's state.
    """

    def __init__(self, context: Context, stores: Stores, turns: Turns, quota: Quota) -> None:
        self._context = context
        self._stores = stores
        self._turns = turns
        self._quota = quota

    async def planned(self, report: reports.ExtractionPlannedReport) -> None:
        """Samples are cut: order the first shards, or the commit where none is left."""
        now = self._context.now()
        async with self._context.database.transaction() as tx:
            extraction = await tx.extractions.lock(report.extraction_id)
            if extraction is None:
                return
            model = await tx.models.get(extraction.model_id)
            shards = shards_of(report.shards, model.num_layers if model else None)
            capturing, effects = extracting.planned(extraction, report, shards, now)
            if capturing is extraction:
                return
            try:
                reserved = await self._set_aside(tx, extraction, model, shards, report)
            except InsufficientStorage as error:
                await self._save(tx, *ending.failed(extraction, error.body(), now))
                await self._stores.abandon(tx, extraction)
                self._context.wake()
                return
            capturing = replace(capturing, reserved_bytes=capturing.reserved_bytes + reserved)
            await tx.extractions.save(capturing)
            await tx.shards.insert(extraction.id, shards)
            if model is not None and model.hook_points is not None:
                tx.changes.saved_bytes += disk.bytes_there(
                    shards, extraction.hook_points, model.hook_points, extraction.dtype
                )
            await tx.send(effects)
            with within(capturing.traceparent):
                await self._go_on(tx, capturing)
        self._context.wake()

    async def _set_aside(
        self,
        tx: Transaction,
        extraction: ExtractionState,
        model: ModelState | None,
        shards: Sequence[ShardState],
        report: reports.ExtractionPlannedReport,
    ) -> int:
        """Return the bytes that ``shards`` take, which disk and quota hold; 0 where unknown."""
        if model is None or model.hook_points is None:
            return 0
        needed = disk.bytes_to_write(shards, model.hook_points, extraction.dtype)
        if needed is None:
            return 0
        free = disk.room(report, await tx.devices.of_pool(extraction.pool))
        disk.refuse_too_much(needed, free)
        if report.next is not None:
            begun = extraction.plan_from.row if extraction.plan_from else 0
            rows = extraction.rows_considered - begun
            expected = needed * rows // max(1, report.next.row - begun)
            disk.refuse_far_too_much(expected, free)
            self._quota.refuse_far_too_much(expected)
        await self._quota.make_room(tx, needed)
        return needed

    async def _go_on(self, tx: Transaction, extraction: ExtractionState) -> bool:
        """Order the next shards and, where few are left, the plan's next part; last, the commit.

        Return whether that was it.
        """
        window = await self._order_next(tx, extraction)
        settings = self._context.settings
        extraction, effects = extracting.plan_on(
            extraction, PLANNED_AHEAD * max(window, settings.shard_window), settings.shard_tokens
        )
        if not extraction.all_captured:
            await self._save(tx, extraction, effects)
            return False
        committing, effects = extracting.commit(extraction, self._context.now())
        await self._save(tx, committing, effects)
        return True

    async def _order_next(self, tx: Transaction, extraction: ExtractionState) -> int:
        """Order as many shards as may be out now; return how many that is."""
        if not await self._quota.has_room(tx):
            return 0
        window, devices = await self._turns.window(tx, extraction.model_id)
        joining = await tx.shards.order_next(extraction.id, window)
        if joining:
            wish = await tx.models.wish(extraction.model_id)
            await tx.send(orders.shard_orders(extraction, wish, joining, devices))
        return window

    async def resume(self) -> None:
        """Order the next shards of extractions that none is out of: their turn may have come."""
        async with self._context.database.reading() as tx:
            idle = await tx.extractions.idle()
        for extraction_id in idle:
            async with self._context.database.transaction() as tx:
                extraction = await tx.extractions.lock(extraction_id)
                if extraction is None or extraction.phase is not ExtractionPhase.CAPTURING:
                    continue
                # Silence while it waited for its turn, or for room, is no lost order.
                await tx.extractions.heard_of(extraction.id, self._context.now())
                with within(extraction.traceparent):
                    await self._order_next(tx, extraction)

    async def captured(self, report: reports.ShardCapturedReport) -> None:
        """A shard's files are written."""
        async with self._context.database.transaction() as tx:
            extraction = await self._running(tx, report.extraction_id, report.task_id)
            if extraction is None or extraction.phase is not ExtractionPhase.CAPTURING:
                return
            shard = await tx.shards.get(extraction.id, report.shard_index)
            if shard is None:
                return
            live = await tx.shards.live(extraction.id)
            grown, effects = extracting.captured(
                extraction, shard, live.without(shard), self._context.now()
            )
            if grown is extraction:
                return
            done = replace(shard, device_id=report.device_id, seconds=report.seconds)
            await tx.shards.captured(extraction.id, done)
            await tx.send(effects)
            with within(grown.traceparent):
                last = await self._go_on(tx, grown)
        if last:
            # The model is not needed any more: it may be another's turn.
            self._context.wake()

    async def progressed(self, report: reports.ShardProgressedReport) -> None:
        """Take live progress of a shard."""
        async with self._context.database.transaction() as tx:
            extraction = await self._running(tx, report.extraction_id, report.task_id)
            if extraction is None:
                return
            await tx.shards.progressed(extraction.id, report.shard_index, report.samples_done)
            live = await tx.shards.live(extraction.id)
            after, effects = extracting.progressed(extraction, live, self._context.now())
            if after is not extraction:
                await self._save(tx, after, effects)

    async def committed(self, report: reports.ExtractionCommittedReport) -> None:
        """The manifest lists the columns: keep what it says, and the cache that shows them."""
        now = self._context.now()
        async with self._context.database.transaction() as tx:
            extraction = await self._running(tx, report.extraction_id, report.task_id)
            if extraction is None or extraction.phase is not ExtractionPhase.COMMITTING:
                return
            if extraction.store_key is None:
                return
            # The model before the store: whoever holds a store waits for no model.
            await tx.models.touch(extraction.model_id, now)
            if any(each.overflow for each in report.columns):
                await tx.models.overflowed(extraction.model_id)
            await tx.stores.lock(extraction.store_key)
            missing = set(extraction.hook_points) - {each.hook_point for each in report.columns}
            if missing:
                error = _incomplete(sorted(missing))
                await self._save(tx, *ending.failed(extraction, error, now))
                await self._stores.abandon(tx, extraction)
            else:
                await self._complete(tx, extraction, extraction.store_key, report)
        self._context.wake()

    async def _complete(
        self,
        tx: Transaction,
        extraction: ExtractionState,
        store_key: str,
        report: reports.ExtractionCommittedReport,
    ) -> None:
        now = self._context.now()
        store = Store(store_key, extraction.pool, report.storage_path, report.token_bytes)
        await tx.stores.save(store)
        known = await tx.stores.columns(store_key)
        # What is to leave waits for this commit to be over: the manifest still names it.
        leaving = await tx.stores.columns_leaving(store_key)
        kept = [each for each in report.columns if each.hook_point not in leaving]
        there = {each.hook_point for each in kept}
        await tx.stores.delete_columns(store_key, [name for name in known if name not in there])
        own = set(extraction.hook_points)
        for summary in kept:
            covers = extraction.rows_considered if summary.hook_point in own else 0
            await tx.stores.save_column(store_key, summary, covers)
        extent = Extent(
            rows_considered=extraction.rows_considered,
            samples=extraction.total_samples or 0,
            tokens=extraction.total_tokens or 0,
            skipped=extraction.skipped,
        )
        await tx.stores.save_extent(store_key, extent)
        seconds = max((now - extraction.created_at).total_seconds(), 0.0)
        holding = await self._stores.keep_cache(tx, extraction, store_key, extent, seconds)
        nothing_computed = extraction.shards_computed == 0
        await self._save(tx, *ending.completed(extraction, holding, nothing_computed, now))

    async def failed(self, extraction_id: str, task_id: str, error: ErrorBody) -> None:
        """A step of the extraction ended in an error."""
        async with self._context.database.transaction() as tx:
            extraction = await self._running(tx, extraction_id, task_id)
            if extraction is None:
                return
            over, effects = ending.failed(extraction, error, self._context.now())
            await self._save(tx, over, effects)
            await self._stores.abandon(tx, over)
        self._context.wake()

    async def _running(
        self, tx: Transaction, extraction_id: str, task_id: str
    ) -> ExtractionState | None:
        extraction = await tx.extractions.lock(extraction_id)
        if extraction is None or extraction.status.terminal or extraction.task_id != task_id:
            return None
        return extraction

    async def _save(self, tx: Transaction, extraction: ExtractionState, effects: Effects) -> None:
        await tx.extractions.save(extraction)
        await tx.send(effects)


def _incomplete(missing: list[str]) -> ErrorBody:
    return ErrorBody(
        code=ErrorCode.EXTRACTION_FAILED,
        message=f"The store lacks columns after the commit: {', '.join(missing)}.",
        details={
            "reason": "columns_missing",
            "remedy": "Request the extraction again.",
        },
    )
