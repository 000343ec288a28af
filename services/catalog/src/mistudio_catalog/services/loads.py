"""Loads: asked for, admitted, followed, called off; and unloading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from mistudio_catalog.domain import device as devices
from mistudio_catalog.domain import ending, loading, progress, residency
from mistudio_catalog.domain.formats import check_available
from mistudio_catalog.domain.loading import Step
from mistudio_catalog.domain.model import ModelState
from mistudio_catalog.storage.database import Transaction
from mistudio_catalog.storage.removals import Removal
from mistudio_contracts import reports, rpc, views
from mistudio_contracts.base import new_id
from mistudio_contracts.errors import ErrorBody, RateLimited
from mistudio_contracts.states import ModelStatus
from mistudio_contracts.views import LoadAccepted
from mistudio_servicekit.tracing import traceparent, within

from . import views as show
from .context import Context
from .models import lock, refuse_while_used
from .once import once

SYSTEM = "system"
"""The actor of loads that the catalog begins by itself; they are not counted."""

_WINDOW = timedelta(hours=1)


class Loads:
    """The way of a model into device memory and out of it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stall = timedelta(seconds=context.settings.load_stall_seconds)
        self._since = context.now()

    async def load(self, request: rpc.LoadModelRequest) -> LoadAccepted:
        """Ask for a load; one that is under way is answered with itself.

        Raises
        ------
        StatusConflict
            The model is ready, leaving, or loading in another format.
        InvalidInput
            No device of the pool can compute with the format.
        RateLimited
            The actor has asked for too many loads within the hour.
        """
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx, request, LoadAccepted, self._context.now(), lambda: self._begin(tx, request)
            )
        self._context.wake()
        return answer

    async def _begin(self, tx: Transaction, request: rpc.LoadModelRequest) -> LoadAccepted:
        """Do what :meth:`load` says, within a transaction."""
        await tx.ledger.exclusively(f"loads-of:{request.actor}")
        model = await lock(tx, request.model_id)
        same = model.is_of(request.quantization, request.quantization_options)
        if not same and model.status is not ModelStatus.LOADING:
            await refuse_while_used(tx, model)
        now = self._context.now()
        asked, effects = loading.request_load(
            model,
            new_id("task"),
            now,
            quantization=request.quantization,
            options=request.quantization_options,
            force=request.force,
        )
        begun = asked.task_id != model.task_id
        if begun:
            check_available(asked.quantization, await tx.devices.of_pool(asked.pool))
            await self._count(tx, request.actor, now)
            asked = replace(asked, traceparent=traceparent())
        if asked is not model:
            await tx.models.save(asked)
            await tx.send(effects)
        return LoadAccepted(
            id=asked.id,
            status=asked.status,
            task_id=asked.task_id or "",
            message="Model loading initiated" if begun else "Model is loading",
        )

    async def _count(self, tx: Transaction, actor: str, now: datetime) -> None:
        if actor == SYSTEM:
            return
        most = self._context.settings.load_requests_per_hour
        loads, first = await tx.ledger.loads_since(actor, now - _WINDOW)
        if loads >= most and first is not None:
            wait = max((first + _WINDOW - now).total_seconds(), 1.0)
            raise RateLimited(
                f"At most {most} loads an hour are taken from one user.",
                reason="loads_per_hour",
                limit=most,
                retry_after_seconds=int(wait) + 1,
                remedy="Try again after the time given.",
            )
        await tx.ledger.count_load(actor, now)

    async def admit(self) -> None:
        """Give free load slots to the loads that have waited longest."""
        pool = self._context.settings.pool
        most = self._context.settings.max_concurrent_loads
        admitted = True
        while admitted:
            async with self._context.database.transaction() as tx:
                await tx.ledger.exclusively(f"load-slots:{pool}")
                admitted = await tx.models.count_admitted_loads(pool) < most
                model = await tx.models.next_waiting(pool) if admitted else None
                if model is None:
                    return
                begun, effects = loading.admit(model, self._context.now())
                await tx.models.save(begun)
                with within(model.traceparent):
                    await tx.send(effects)

    async def cancel(self, request: rpc.CancelLoadRequest) -> views.Model:
        """Call a load off; extractions that wait for it fail.

        Raises
        ------
        StatusConflict
            Nothing is being loaded.
        """
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx, request, views.Model, self._context.now(), lambda: self._cancel(tx, request)
            )
        self._context.wake()
        return answer

    async def _cancel(self, tx: Transaction, request: rpc.CancelLoadRequest) -> views.Model:
        now = self._context.now()
        model = await lock(tx, request.model_id)
        back, effects = residency.cancel_load(model, new_id("task"), now)
        await tx.models.save(back)
        await tx.send(effects)
        for extraction in await tx.extractions.lock_waiting_on_model(model.id):
            over, told = ending.failed(extraction, ending.because_of_model(None, now), now)
            await tx.extractions.save(over)
            await tx.send(told)
        return show.model(back)

    async def unload(self, request: rpc.UnloadModelRequest) -> views.Model:
        """Let go of a ready model.

        Raises
        ------
        StatusConflict
            It is loading, was never loaded, or extractions need it.
        """
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx, request, views.Model, self._context.now(), lambda: self._unload(tx, request)
            )
        self._context.wake()
        return answer

    async def _unload(self, tx: Transaction, request: rpc.UnloadModelRequest) -> views.Model:
        model = await lock(tx, request.model_id)
        active = await tx.extractions.count_active_on_model(model.id)
        leaving, effects = residency.request_unload(
            model, active, new_id("task"), self._context.now()
        )
        await tx.models.save(leaving)
        await tx.send(effects)
        return show.model(leaving)

    async def progressed(self, report: reports.LoadProgressedReport) -> None:
        """Take live progress."""
        await self._step(
            report.model_id, lambda model, now: progress.progressed(model, report, now)
        )

    async def prepared(self, report: reports.ModelPreparedReport) -> None:
        """The artifact is on disk. One that it replaces, or that nobody waits for, leaves."""
        made = report.artifact.fingerprint
        async with self._context.database.transaction() as tx:
            model = await tx.models.lock(report.model_id)
            pool = self._context.settings.pool if model is None else model.pool
            unneeded = made
            if model is not None:
                placing, effects = loading.prepared(model, report, self._context.now())
                if placing is not model:
                    unneeded = model.fingerprint or made
                    await tx.models.save(placing)
                    await tx.send(effects)
            # Forgotten again where a model turns out to refer to it.
            await tx.removals.insert(Removal("model", unneeded, pool))
        self._context.wake()

    async def placed(self, report: reports.ModelPlacedReport) -> None:
        """The model is in device memory."""
        await self._step(report.model_id, lambda model, now: loading.placed(model, report, now))
        self._context.wake()

    async def failed(self, model_id: str, task_id: str, error: ErrorBody) -> None:
        """Preparing or placing ended in an error."""
        await self._step(model_id, lambda model, now: loading.failed(model, task_id, error, now))
        self._context.wake()

    async def end_stalled(self) -> None:
        """End the loads whose workers got nowhere for too long.

        Those of an edge that is cut off are not known to get nowhere.
        """
        if self._context.settings.edge:
            async with self._context.database.reading() as tx:
                if not await tx.devices.online(self._context.settings.pool):
                    self._since = self._context.now()
        before = self._context.now() - self._stall
        if before < self._since:
            # What moved while the catalog, or the link to the edge, was away was told to nobody.
            return
        async with self._context.database.reading() as tx:
            stalled = await tx.models.stalled(before)
        for model_id in stalled:
            await self._step(model_id, lambda model, now: progress.stalled(model, before, now))
        if stalled:
            self._context.wake()

    async def evicted(self, report: reports.ModelEvictedReport) -> None:
        """A device let go of a model."""
        async with self._context.database.transaction() as tx:
            # The device first, as a heartbeat does.
            device = await tx.devices.lock(report.device_id)
            if device is not None:
                await tx.devices.save(devices.without(device, report.model_id))
            model = await tx.models.lock(report.model_id)
            if model is None:
                return
            out, effects = residency.evicted(model, report, new_id("task"), self._context.now())
            await tx.models.save(out)
            await tx.send(effects)
        self._context.wake()

    async def _step(self, model_id: str, step: Callable[[ModelState, datetime], Step]) -> None:
        async with self._context.database.transaction() as tx:
            model = await tx.models.lock(model_id)
            if model is None:
                return
            after, effects = step(model, self._context.now())
            if after is not model:
                await tx.models.save(after)
                await tx.send(effects)
