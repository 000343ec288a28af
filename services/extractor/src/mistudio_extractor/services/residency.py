"""Which models are in device memory, who works with them, and who leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mistudio_contracts.errors import ModelLoadFailed
from mistudio_contracts.values import Artifact, ResidentModel
from mistudio_extractor.domain.admission import Limits, Seat, admit
from mistudio_extractor.storage.layout import Layout

from .device import Device, return_memory

if TYPE_CHECKING:
    from mistudio_capture import CaptureModel

log = logging.getLogger(__name__)

Evicted = Callable[[str, str, str, int], Awaitable[None]]
"""Told the model, the task, the reason and the freed bytes."""


@dataclass
class Resident:
    """A model in device memory. ``doomed`` names the release it waits for its leases to end."""

    model_id: str
    task_id: str
    fingerprint: str
    model: CaptureModel
    seconds: float
    last_used: float = field(default_factory=time.monotonic)
    leases: int = 0
    doomed: str | None = None

    @property
    def memory_bytes(self) -> int:
        return self.model.memory_bytes


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
            found = self._residents.get(model_id)
            if found is not None and found.fingerprint == artifact.fingerprint:
                found.task_id, found.doomed = task_id, None
                return found
            if found is not None:
                await self._leave(found, found.task_id, "requested")
            return await self._arrive(model_id, task_id, artifact)

    @contextlib.asynccontextmanager
    async def lease(
        self, model_id: str, task_id: str, artifact: Artifact
    ) -> AsyncIterator[CaptureModel]:
        """Work with a model, which stays until the end; it is brought in first if need be.

        Raises
        ------
        MiStudioError
            As :meth:`place`.
        """
        resident = self._residents.get(model_id)
        if resident is None or resident.fingerprint != artifact.fingerprint:
            resident = await self.place(model_id, task_id, artifact)
        resident.leases += 1
        try:
            yield resident.model
        finally:
            resident.leases -= 1
            resident.last_used = time.monotonic()
            if resident.doomed is not None and resident.leases == 0:
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

    async def _arrive(self, model_id: str, task_id: str, artifact: Artifact) -> Resident:
        facts = await self._device.facts()
        seats = [
            Seat(r.model_id, r.memory_bytes, r.last_used, r.leases)
            for r in self._residents.values()
        ]
        limits = Limits(facts.memory_budget_bytes, self._most)
        for leaving in admit(artifact.bytes, seats, limits):
            evicted = self._residents[leaving]
            await self._leave(evicted, evicted.task_id, "lru")
        path = self._layout.artifact(artifact)
        start = time.monotonic()

        def load() -> CaptureModel:
            from mistudio_capture import CaptureModel

            return CaptureModel.load(path, facts.torch_device)

        try:
            model = await self._device.run(load)
        except Exception as error:
            await self._device.run(return_memory)
            raise _load_failed(error) from error
        resident = Resident(
            model_id, task_id, artifact.fingerprint, model, time.monotonic() - start
        )
        self._residents[model_id] = resident
        self.changed.set()
        log.info("A model is resident.", extra={"model_id": model_id, "bytes": model.memory_bytes})
        return resident

    async def _leave(self, resident: Resident, task_id: str, reason: str) -> None:
        freed = resident.memory_bytes
        del self._residents[resident.model_id]

        def close() -> None:
            resident.model.close()
            return_memory()

        await self._device.run(close)
        self.changed.set()
        log.info("A model left.", extra={"model_id": resident.model_id, "reason": reason})
        await self._on_evicted(resident.model_id, task_id, reason, freed)


def _load_failed(error: Exception) -> Exception:
    from mistudio_capture import CaptureError, UnsupportedArchitecture

    if isinstance(error, UnsupportedArchitecture):
        return ModelLoadFailed(
            f"The architecture {error.model_type!r} is not supported.",
            reason="unsupported_architecture",
            remedy=f"Supported are: {', '.join(error.supported)}.",
        )
    if isinstance(error, (CaptureError, OSError, ValueError, RuntimeError)):
        return ModelLoadFailed(
            "The prepared artifact could not be placed in memory.",
            reason="placing_failed",
            remedy="Load the model again; the extractor's log has the details.",
        )
    return error
