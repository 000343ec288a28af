"""A device with its residents, without a bus."""

from __future__ import annotations

from mistudio_contracts.values import Artifact
from mistudio_extractor.metrics import Metrics
from mistudio_extractor.services.device import Device
from mistudio_extractor.services.residency import Residency
from mistudio_extractor.storage.layout import Layout
from mistudio_servicekit.metering import Meters

from .support import Disk


async def admit(_: Artifact) -> None:
    """Refuse no format."""


class Room:
    """A device with its residents, and what was told of those that left."""

    def __init__(self, disk: Disk, most: int = 3) -> None:
        self.left: list[tuple[str, str, str, int]] = []
        self.exits: list[int] = []
        self.device = Device(disk.settings, self.exits.append)
        self.meters = Meters()
        self.metrics = Metrics(self.meters)
        self.residency = Residency(
            self.device,
            Layout(disk.settings),
            most,
            admit,
            lambda *each: self.left.append(each),
            self.metrics,
        )

    async def start(self) -> None:
        await self.device.facts()
        await self.residency.start()

    async def close(self) -> None:
        await self.residency.stop()
        await self.device.close()

    def leases(self) -> int:
        return sum(resident.leases for resident in self.residency.residents())

    def names(self) -> list[str]:
        return [resident.model_id for resident in self.residency.residents()]
