"""Which models are in device memory, who works with them, and who leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mistudio_contracts.values import Artifact, ResidentModel
from mistudio_extractor.domain.admission import Limits, Need, Seat, admit, insufficient_memory
from mistudio_extractor.domain.memory import is_out_of_memory
from mistudio_extractor.storage.layout import Layout

from .device import Device
from .models import load, unload
from .sizing import Sizing

if TYPE_CHECKING:
    from mistudio_capture import CaptureModel

log = logging.getLogger(__name__)

Evicted = Callable[[str, str, str, int], None]
"""Told the model, the task, the reason and the freed bytes. Must not fail."""


@dataclass(eq=False)
class Resident:
    """A model in device memory. ``doomed`` names the release it waits for its leases to end."""

    model_id: str
    task_id: str
    fingerprint: str
    model: CaptureModel
    sizing: Sizing
    seconds: float
    last_used: float = field(default_factory=time.monotonic)
    leases: int = 0
    doomed: str | None = None

    @property
    def memory_bytes(self) -> int:
        """Measured, not estimated."""
        return self.model.memory_bytes

    @property
    def seat(self) -> Seat:
        need = Need(self.memory_bytes, self.sizing.need().working)
        return Seat(self.model_id, need, self.last_used, self.leases)


class Residency:
    """The models on the device.

    Parameters
    ----------
    device
        Where they are.
    layout
        Where artifacts lie.
    most
        Models at once.
    on_evicted
        Told of each model that left.
    """

    def __init__(self, device: Device, layout: Layout, most: int, on_evicted: Evicted) -> None:
        self._device, self._layout, self._most = device, layout, most
        self._on_evicted = on_evicted
        self._residents: dict[str, Resident] = {}
        # One arrival or departure at a time: both change what fits.
        self._moving = asyncio.Lock()
        self.changed = asyncio.Event()

    def residents(self) -> list[ResidentModel]:
        """Return who is there, for the heartbeat."""
        return [
            ResidentModel(
                model_id=r.model_id, fingerprint=r.fingerprint, memory_usage_bytes=r.memory_bytes
            )
            for r in self._residents.values()
        ]

    def used_bytes(self) -> int:
        """Return the bytes of all residents."""
        return sum(r.memory_bytes for r in self._residents.values())

    async def place(self, model_id: str, task_id: str, artifact: Artifact) -> Resident:
        """Return the resident model, brought in first if need be.

        Raises
        ------
        ModelTooLarge, InsufficientMemory
            When it cannot be brought in.
        ModelLoadFailed
            When its artifact is missing or broken.
        """
        async with self._moving:
            return await self._place(model_id, task_id, artifact)

    @contextlib.asynccontextmanager
    async def lease(
        self, model_id: str, task_id: str, artifact: Artifact
    ) -> AsyncIterator[Resident]:
        """Work with a model, which stays until the end; it is brought in first if need be.

        Raises
        ------
        MiStudioError
            As :meth:`place`.
        """
        async with self._moving:
            resident = self._residents.get(model_id)
            if resident is None or resident.fingerprint != artifact.fingerprint:
                resident = await self._place(model_id, task_id, artifact)
            resident.leases += 1
        try:
            yield resident
        finally:
            resident.leases -= 1
            resident.last_used = time.monotonic()
            here = self._residents.get(model_id) is resident
            if here and resident.doomed is not None and resident.leases == 0:
                await self.release(model_id, resident.doomed)

    async def release(self, model_id: str, task_id: str | None = None) -> None:
        """Let go of a model, at the end of its last lease. Harmless when it is not here."""
        async with self._moving:
            resident = self._residents.get(model_id)
            if resident is None:
                return
            if resident.leases:
                resident.doomed = task_id or resident.task_id
                return
            await self._leave(resident, task_id or resident.task_id, "requested")

    async def make_room(self) -> int:
        """Let go of every model that nobody works with; return how many left."""
        async with self._moving:
            return await self._make_room()

    async def _place(self, model_id: str, task_id: str, artifact: Artifact) -> Resident:
        found = self._residents.get(model_id)
        if found is not None and found.fingerprint == artifact.fingerprint:
            found.task_id, found.doomed = task_id, None
            found.last_used = time.monotonic()
            return found
        if found is not None:
            await self._leave(found, found.task_id, "requested")
        return await self._arrive(model_id, task_id, artifact)

    async def _arrive(self, model_id: str, task_id: str, artifact: Artifact) -> Resident:
        facts = await self._device.facts()
        directory = self._layout.artifact(artifact)
        sizing = Sizing.of(directory, artifact, facts)
        limits = Limits(facts.memory_budget_bytes, self._most, await self._device.free_bytes())
        for leaving in admit(sizing.need(), [r.seat for r in self._residents.values()], limits):
            evicted = self._residents[leaving]
            await self._leave(evicted, evicted.task_id, "lru")
        start = time.monotonic()
        model = await self._load(lambda: load(directory, facts.torch_device), sizing.need())
        resident = Resident(
            model_id, task_id, artifact.fingerprint, model, sizing, time.monotonic() - start
        )
        self._residents[model_id] = resident
        self.changed.set()
        log.info("A model is resident.", extra={"model_id": model_id, "bytes": model.memory_bytes})
        return resident

    async def _load(self, work: Callable[[], CaptureModel], need: Need) -> CaptureModel:
        """Load; when the memory did not suffice, again without the models that are idle."""
        try:
            return await self._device.run(work)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        try:
            if await self._make_room():
                return await self._device.run(work)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        raise insufficient_memory(need, await self._device.free_bytes())

    async def _make_room(self) -> int:
        idle = [r for r in self._residents.values() if r.leases == 0]
        for resident in idle:
            await self._leave(resident, resident.task_id, "lru")
        return len(idle)

    async def _leave(self, resident: Resident, task_id: str, reason: str) -> None:
        freed = resident.memory_bytes
        del self._residents[resident.model_id]
        # Behind whatever still runs on it: the device's thread takes one thing at a time.
        await self._device.run(lambda: unload(resident.model))
        log.info("A model left.", extra={"model_id": resident.model_id, "reason": reason})
        self._on_evicted(resident.model_id, task_id, reason, freed)
        self.changed.set()
