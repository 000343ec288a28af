"""The device's heartbeat, and obeying what the catalog answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from faststream.nats import NatsBroker

from mistudio_activations import ActivationsError, disk_usage
from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import DeviceReport
from mistudio_contracts.rpc import DeviceOrders
from mistudio_extractor.storage.layout import Layout
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.rpc import call
from mistudio_servicekit.tasks import cancel

from .device import Device
from .kernels import Kernels
from .residency import Residency

log = logging.getLogger(__name__)

EVERY = 5.0
"""Until the catalog has said otherwise, and while it does not answer."""

MEASURE_EVERY = 60.0


class Heartbeat:
    """Reports the device when the catalog wants to hear of it, and whenever its residents change.

    Nothing that takes time holds it up: neither the import of torch, nor a model on its way.
    """

    def __init__(
        self,
        broker: NatsBroker,
        pool: str,
        device: Device,
        residency: Residency,
        kernels: Kernels,
        layout: Layout,
        cancellations: Cancellations,
    ) -> None:
        self._broker, self._pool, self._device = broker, pool, device
        self._residency, self._kernels = residency, kernels
        self._layout, self._cancellations = layout, cancellations
        self._beating: asyncio.Task[None] | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._releasing: dict[str, asyncio.Task[None]] = {}
        self._store_bytes = 0

    async def start(self) -> None:
        """Begin."""
        self._beating = asyncio.create_task(self._beat(), name="heartbeat")
        self._measuring = asyncio.create_task(self._measure(), name="measure-stores")

    async def stop(self) -> None:
        """End."""
        await cancel(self._beating, self._measuring, *self._releasing.values())

    async def alive(self) -> bool:
        """Return whether it still beats."""
        return self._beating is not None and not self._beating.done()

    async def _beat(self) -> None:
        while True:
            self._residency.changed.clear()
            pause = EVERY
            try:
                orders = await self._report()
                self._obey(orders)
                pause = orders.again_after_seconds
            except MiStudioError as error:
                log.warning("The heartbeat was not taken.", extra={"error": error.message})
            except Exception:
                log.exception("A heartbeat failed.")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._residency.changed.wait(), pause)

    async def _report(self) -> DeviceOrders:
        facts = self._device.known_facts()
        report = DeviceReport(
            device_id=self._device.device_id,
            pool=self._pool,
            kind=facts.kind,
            name=facts.name,
            started_at=self._device.started_at,
            memory_total_bytes=facts.memory_total_bytes,
            memory_budget_bytes=facts.memory_budget_bytes,
            memory_used_bytes=self._residency.used_bytes(),
            memory_free_bytes=await self._device.free_bytes(),
            residents=self._residency.residents(),
            unavailable_formats=self._kernels.unavailable,
            store_bytes=self._store_bytes,
            store_free_bytes=self._layout.store_free_bytes(),
            reported_at=self._device.now,
        )
        orders = await call(self._broker, subjects.RPC_DEVICE_REPORT, report)
        return DeviceOrders.model_validate(orders)

    def _obey(self, orders: DeviceOrders) -> None:
        self._cancellations.cancel(orders.cancelled)
        self._residency.wish(orders.wishes)
        for model_id in orders.release:
            if model_id not in self._releasing:
                task = asyncio.create_task(self._release(model_id), name=f"release-{model_id}")
                self._releasing[model_id] = task

    async def _release(self, model_id: str) -> None:
        try:
            await self._residency.release(model_id)
        except Exception:
            log.exception("A model could not be let go of.", extra={"model_id": model_id})
        finally:
            del self._releasing[model_id]

    async def _measure(self) -> None:
        while True:
            start = time.monotonic()
            try:
                self._store_bytes = await asyncio.to_thread(disk_usage, self._layout.stores)
            except (OSError, ActivationsError) as error:
                log.warning("The stores could not be measured.", extra={"error": str(error)})
            # A large disk takes long to walk; never spend more than a small part of the time so.
            await asyncio.sleep(max(MEASURE_EVERY, 20 * (time.monotonic() - start)))
