"""The device and its models as figures, read when somebody looks at the metrics."""

from __future__ import annotations

import math

from mistudio_extractor.metrics import Metrics
from mistudio_servicekit.metering import fresh

from .device import Device
from .residency import Residency


class Gauging:
    """Sets the gauges of one device.

    Parameters
    ----------
    device, residency
        Which are looked at.
    metrics
        The gauges.
    """

    def __init__(self, device: Device, residency: Residency, metrics: Metrics) -> None:
        self._device, self._residency, self._metrics = device, residency, metrics

    async def measure(self) -> None:
        """Read the figures; what only torch can tell is not a number until it is there.

        Raises
        ------
        ServiceUnavailable
            When the device can no longer be used.
        """
        to = self._metrics
        with fresh(to.memory, to.residents, to.in_need):
            facts = self._device.known_facts()
            residents = self._residency.residents()
            bytes_by_kind = {
                "total": facts.memory_total_bytes,
                "budget": facts.memory_budget_bytes,
                "free": await self._device.free_bytes(),
                "models": self._residency.used_bytes(),
                "process": self._device.occupied_bytes(),
            }
            for kind, count in bytes_by_kind.items():
                to.memory.labels(kind).set(math.nan if count is None else count)
            in_use = sum(each.leases > 0 for each in residents)
            to.residents.labels("in_use").set(in_use)
            to.residents.labels("idle").set(len(residents) - in_use)
            to.in_need.set(self._residency.waiting())
