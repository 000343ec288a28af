"""The device's heartbeat, and obeying what the catalog answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from faststream.nats import NatsBroker

from mistudio_activations import disk_usage
from mistudio_contracts import subjects
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.reports import DeviceReport
from mistudio_contracts.rpc import DeviceOrders
from mistudio_extractor.storage.layout import Layout
from mistudio_servicekit.cancellation import Cancellations
from mistudio_servicekit.rpc import call

from .device import Device
from .residency import Residency

log = logging.getLogger(__name__)

EVERY = 5.0
MEASURE_EVERY = 60.0


class Heartbeat:
    """Reports the device every five seconds and whenever its residents change."""

    def __init__(
        self,
        broker: NatsBroker,
        pool: str,
        device: Device,
        residency: Residency,
        layout: Layout,
        cancellations: Cancellations,
    ) -> None:
        self._broker, self._pool, self._device = broker, pool, device
        self._residency, self._layout, self._cancellations = residency, layout, cancellations
        self._task: asyncio.Task[None] | None = None
        self._store_bytes = 0
        self._measured_at = float("-inf")

    async def start(self) -> None:
        """Begin; the first beat follows when the device is known."""
        self._task = asyncio.create_task(self._beat(), name="heartbeat")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def alive(self) -> bool:
        """Return whether it still beats."""
        return self._task is not None and not self._task.done()

    async def _beat(self) -> None:
        while True:
            self._residency.changed.clear()
            try:
                await self._obey(await self._report())
            except MiStudioError as error:
                log.warning("The catalog did not take the heartbeat: %s", error.message)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._residency.changed.wait(), EVERY)

    async def _report(self) -> DeviceOrders:
        facts = await self._device.facts()
        if time.monotonic() - self._measured_at > MEASURE_EVERY:
            self._store_bytes = await asyncio.to_thread(disk_usage, self._layout.stores)
            self._measured_at = time.monotonic()
        report = DeviceReport(
            device_id=self._device.device_id,
            pool=self._pool,
            kind=facts.kind,
            name=facts.name,
            started_at=self._device.started_at,
            memory_total_bytes=facts.memory_total_bytes,
            memory_budget_bytes=facts.memory_budget_bytes,
            memory_used_bytes=self._residency.used_bytes(),
            residents=self._residency.residents(),
            store_bytes=self._store_bytes,
            store_free_bytes=self._layout.free_bytes(),
        )
        orders = await call(self._broker, subjects.RPC_DEVICE_REPORT, report)
        return DeviceOrders.model_validate(orders)

    async def _obey(self, orders: DeviceOrders) -> None:
        self._cancellations.cancel(orders.cancelled)
        for model_id in orders.release:
            await self._residency.release(model_id)
