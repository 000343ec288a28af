"""Bringing models to the device and letting go of them: what the policy's decisions do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mistudio_contracts.values import Artifact
from mistudio_extractor.domain.memory import is_out_of_memory
from mistudio_extractor.domain.needs import Reading
from mistudio_extractor.domain.occurrences import Evict
from mistudio_extractor.domain.seats import Request
from mistudio_extractor.metrics import Metrics
from mistudio_extractor.storage.layout import Layout

from .device import Device
from .models import load, unload
from .scheduler import NoMemory
from .sizing import Sizing

if TYPE_CHECKING:
    from mistudio_capture import CaptureModel

log = logging.getLogger(__name__)

Evicted = Callable[[str, str, str, int], None]
"""Told the model, the task, the reason and the freed bytes. Must not fail."""


@dataclass(frozen=True, eq=False)
class Resident:
    """A model in device memory; ``seconds`` is how long its load took."""

    model_id: str
    artifact: Artifact
    model: CaptureModel
    sizing: Sizing
    seconds: float

    @property
    def memory_bytes(self) -> int:
        """Measured, not estimated."""
        return self.model.memory_bytes


class Arrivals:
    """The models that are there, and the effects that change which.

    Parameters
    ----------
    device
        Whose thread does the work.
    layout
        Where artifacts lie.
    on_evicted
        Told of each model that left.
    metrics
        Told of who came and left.
    """

    def __init__(
        self, device: Device, layout: Layout, on_evicted: Evicted, metrics: Metrics
    ) -> None:
        self._device, self._layout, self._on_evicted = device, layout, on_evicted
        self._metrics = metrics
        self.residents: dict[str, Resident] = {}

    async def sizing(self, artifact: Artifact) -> Sizing:
        """Return an artifact's figures on this device.

        Raises
        ------
        ModelLoadFailed
            When it is not on the disk.
        """
        facts = await self._device.facts()
        return Sizing.of(self._layout.artifact(artifact), artifact, facts)

    async def load(self, request: Request) -> int:
        """Bring a model in and return its bytes; see :class:`.scheduler.Effects`."""
        directory = self._layout.artifact(request.artifact)
        sizing = await self.sizing(request.artifact)
        facts = await self._device.facts()
        start = time.monotonic()
        try:
            model = await self._device.run(
                lambda: load(directory, facts.torch_device, request.offload_blocks)
            )
        except Exception as error:
            self._metrics.placements.labels("failed").inc()
            if not is_out_of_memory(error):
                raise
            self._metrics.out_of_memory.inc()
            log.warning("A model found too little memory.", extra={"model_id": request.model_id})
            reading = await self._device.measure()
            raise NoMemory(reading.free) from error
        seconds = time.monotonic() - start
        found = Resident(request.model_id, request.artifact, model, sizing, seconds)
        self.residents[request.model_id] = found
        self._metrics.placements.labels("placed").inc()
        self._metrics.place_seconds.observe(seconds)
        log.info(
            "A model is resident.",
            extra={
                "model_id": request.model_id,
                "bytes": found.memory_bytes,
                "offload_blocks": request.offload_blocks,
            },
        )
        return found.memory_bytes

    async def unload(self, evict: Evict) -> None:
        """Let go of a model and tell that it left; see :class:`.scheduler.Effects`."""
        resident = self.residents[evict.model_id]
        freed = resident.memory_bytes
        # Behind whatever still runs on it: the device's thread takes one thing at a time. When
        # the device is lost nothing is told: its next process is given the same models again.
        try:
            await self._device.run(lambda: unload(resident.model))
        finally:
            del self.residents[evict.model_id]
        log.info("A model left.", extra={"model_id": evict.model_id, "reason": evict.reason})
        self._metrics.evictions.labels(evict.reason).inc()
        self._metrics.evicted_bytes.labels(evict.reason).inc(freed)
        self._on_evicted(evict.model_id, evict.task_id, evict.reason, freed)

    async def measure(self) -> Reading:
        """Read the device's bytes; see :class:`.scheduler.Effects`."""
        return await self._device.measure()
