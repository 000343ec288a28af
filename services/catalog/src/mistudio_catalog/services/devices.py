"""Devices: their heartbeats, what they must let go of, and what they lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from mistudio_catalog.domain import device as devices
from mistudio_catalog.domain import residency
from mistudio_catalog.domain.device import DeviceState
from mistudio_catalog.domain.model import ModelPhase, ModelState
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts import rpc, views
from mistudio_contracts.base import new_id
from mistudio_contracts.reports import DeviceReport
from mistudio_contracts.states import ModelStatus
from mistudio_servicekit.tracing import span, traceparent

from . import views as show
from .context import Context

VOID_FOR = timedelta(minutes=10)
"""How long heartbeats repeat that a task is void."""


class Devices:
    """The devices of the pool."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._since = context.now()

    async def page(self) -> views.DevicePage:
        async with self._context.database.reading() as tx:
            found = await tx.devices.all()
        return views.DevicePage(devices=[show.device(device) for device in found], total=len(found))

    async def report(self, report: DeviceReport) -> rpc.DeviceOrders:
        """Take a heartbeat; answer with what must go, what must stop, and how to keep the rest."""
        now = self._context.now()
        async with self._context.database.transaction() as tx:
            known = await tx.devices.lock(report.device_id)
            device, effects = devices.heard(known, report, now)
            await tx.devices.save(device)
            await tx.send(effects)
            # With the row that would else say the next time that there is nothing to do.
            if known is not None and devices.restarted(known, report):
                await self._place_again(tx, device.id, set(device.resident_ids))
            come = known is None or not known.online or devices.restarted(known, report)
            loading = come and await self._preload(tx, device)
        if effects or loading:
            # What is being let go of may be out now.
            self._context.wake()
        async with self._context.database.reading() as tx:
            resident = [each.model_id for each in report.residents]
            known_models = {model.id: model for model in await tx.models.by_ids(resident)}
            release = await self._to_release(tx, resident, known_models)
            void = await tx.ledger.recently_void(report.pool, now - VOID_FOR)
            again = devices.report_seconds(await tx.devices.online(report.pool))
        wishes = {key: model.wish for key, model in known_models.items()}
        return rpc.DeviceOrders(
            release=release, cancelled=void, wishes=wishes, again_after_seconds=again
        )

    async def _place_again(self, tx: Transaction, device_id: str, resident: set[str]) -> None:
        """Order again the ready models that a device held and does not hold any more."""
        for found in await tx.models.ready_on_device(device_id):
            model = None if found.id in resident else await tx.models.lock(found.id)
            if model is None or model.device_id != device_id:
                continue
            placing, effects = residency.place_again(model, new_id("task"), self._context.now())
            with span("place again", model_id=model.id, device_id=device_id):
                await tx.models.save(replace(placing, traceparent=traceparent()))
                await tx.send(effects)

    async def _preload(self, tx: Transaction, device: DeviceState) -> bool:
        """Load the pinned models of a pool one of whose devices has come, the last used first.

        Return whether there are any.
        """
        wanted = await tx.models.pinned_and_nowhere(device.pool)
        for model_id in wanted:
            model = await tx.models.lock(model_id)
            if model is None:
                continue
            begun, effects = residency.preload(model, new_id("task"), self._context.now())
            with span("preload", model_id=model_id, device_id=device.id):
                await tx.models.save(replace(begun, traceparent=traceparent()))
                await tx.send(effects)
        return bool(wanted)

    async def _to_release(
        self, tx: Transaction, resident: list[str], known: dict[str, ModelState]
    ) -> list[str]:
        if not resident:
            return []
        needed = await tx.extractions.active_models()
        return [model_id for model_id in resident if _must_go(known.get(model_id), needed)]

    async def settle_releases(self) -> None:
        """Models being let go of that no device holds are out; the others are told again."""
        async with self._context.database.reading() as tx:
            leaving = await tx.models.releasing()
        for model in leaving:
            await self._settle_release(model.id)

    async def _settle_release(self, model_id: str) -> None:
        async with self._context.database.transaction() as tx:
            found = await tx.devices.all()
            model = await tx.models.lock(model_id)
            if model is None or model.phase is not ModelPhase.RELEASING:
                return
            asked = model.heard_at or model.updated_at
            online = [each for each in found if each.online and each.pool == model.pool]
            # A heartbeat that was on its way when the unloading began proves nothing.
            if any(each.last_seen_at <= asked for each in online):
                return
            if any(model.id in each.resident_ids for each in online):
                await tx.send((residency.release(model),))
                return
            out, effects = residency.absent(model, self._context.now())
            await tx.models.save(out)
            await tx.send(effects)
        self._context.wake()

    async def expire(self) -> None:
        """Take devices that have been silent for too long for offline.

        Their models are ordered again where another device of the pool can hold them; else they
        wait, ready, for the device to come back.
        """
        now = self._context.now()
        settings = self._context.settings
        async with self._context.database.reading() as tx:
            online = await tx.devices.online(settings.pool)
        silence = devices.silence_seconds(settings.device_silence_seconds, online)
        before = now - timedelta(seconds=silence)
        if before < self._since:
            # The silence may have been the catalog's own.
            return
        async with self._context.database.reading() as tx:
            silent = await tx.devices.silent(before)
        for device_id in silent:
            async with self._context.database.transaction() as tx:
                device = await tx.devices.lock(device_id)
                if device is None or device.last_seen_at >= before:
                    continue
                gone, effects = devices.lost(device, now)
                await tx.devices.save(gone)
                await tx.send(effects)
                others = [
                    each
                    for each in await tx.devices.all()
                    if each.online and each.pool == gone.pool and each.id != gone.id
                ]
                if others:
                    await self._place_again(tx, gone.id, set())


def _must_go(model: ModelState | None, needed: set[str]) -> bool:
    if model is None or model.phase is ModelPhase.RELEASING:
        return True
    resting = (ModelStatus.PENDING, ModelStatus.UNLOADED, ModelStatus.FAILED)
    return model.status in resting and model.id not in needed
