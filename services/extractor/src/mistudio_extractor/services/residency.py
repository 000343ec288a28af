"""Which models are in device memory, who works with them, and how they are kept."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from mistudio_contracts.base import new_id
from mistudio_contracts.errors import MiStudioError, StatusConflict
from mistudio_contracts.values import Artifact, ResidencyWish, ResidentModel
from mistudio_extractor.domain import occurrences as o
from mistudio_extractor.domain.needs import Limits
from mistudio_extractor.domain.seats import Request, Stage
from mistudio_extractor.metrics import Metrics
from mistudio_extractor.storage.layout import Layout
from mistudio_servicekit.tracing import span

from .arrivals import Arrivals, Evicted, Resident
from .device import Device
from .scheduler import Scheduler
from .sizing import Sizing

Require = Callable[[Artifact], Awaitable[None]]

_AS_BEFORE = ResidencyWish()


class Residency:
    """The models on the device: asked for, leased, released.

    Parameters
    ----------
    device
        Where they are.
    layout
        Where artifacts lie.
    most
        Models at once.
    require
        Refuses an artifact whose format does not run here.
    on_evicted
        Told of each model that left.
    metrics
        Told of arrivals and departures.
    """

    def __init__(
        self,
        device: Device,
        layout: Layout,
        most: int,
        require: Require,
        on_evicted: Evicted,
        metrics: Metrics | None = None,
    ) -> None:
        self._device, self._most, self._require = device, most, require
        self._arrivals = Arrivals(device, layout, on_evicted, metrics or Metrics())
        self._scheduler = Scheduler(self._arrivals)
        self._tasks: dict[str, str] = {}
        self.changed = self._scheduler.changed

    async def start(self) -> None:
        """Begin to serve requests."""
        await self._scheduler.start()

    async def stop(self) -> None:
        """Serve no more; what is resident goes with the process."""
        await self._scheduler.stop()

    async def alive(self) -> bool:
        """Return whether requests are served."""
        return await self._scheduler.alive()

    def residents(self) -> list[ResidentModel]:
        """Return who is there, for the heartbeat."""
        seats = self._scheduler.policy.seats
        return [
            ResidentModel(
                model_id=each.model_id,
                fingerprint=each.artifact.fingerprint,
                memory_usage_bytes=each.memory_bytes,
                pinned=seats[each.model_id].wish.pinned,
                leases=len(seats[each.model_id].leases),
            )
            for each in self._arrivals.residents.values()
            if seats[each.model_id].stage is Stage.RESIDENT
        ]

    def used_bytes(self) -> int:
        """Return the bytes of all residents."""
        return sum(each.memory_bytes for each in self._arrivals.residents.values())

    def waiting(self) -> int:
        """Return how many requests wait for room that is not there yet."""
        return len(self._scheduler.policy.in_need())

    def is_waiting(self, task_id: str) -> bool:
        """Tell whether a task waits for room that is not there yet."""
        return any(w.request.task_id == task_id for w in self._scheduler.policy.in_need())

    async def place(
        self,
        model_id: str,
        task_id: str,
        artifact: Artifact,
        wish: ResidencyWish = _AS_BEFORE,
        *,
        force: bool = False,
    ) -> Resident:
        """Return the resident model, brought in first if need be.

        Waits, in order, while models in use must end first; :meth:`call_off` and cancelling end
        the wait.

        Raises
        ------
        ModelTooLarge, InsufficientMemory
            When it cannot be brought in.
        ModelLoadFailed
            When its artifact is missing or broken, or its format does not run here.
        StatusConflict
            When the task was called off.
        """
        request = await self._request(model_id, task_id, artifact, wish, force=force)
        await self._ask(request)
        return self._arrivals.residents[model_id]

    @contextlib.asynccontextmanager
    async def lease(
        self, model_id: str, task_id: str, artifact: Artifact, wish: ResidencyWish = _AS_BEFORE
    ) -> AsyncIterator[Resident]:
        """Work with a model, which stays until the end; it is brought in first if need be.

        Raises
        ------
        MiStudioError
            As :meth:`place`.
        """
        request = await self._request(model_id, task_id, artifact, wish, hold=True)
        await self._ask(request)
        try:
            yield self._arrivals.residents[model_id]
        finally:
            self._scheduler.post(o.LeaseEnded(request.request_id))

    async def release(self, model_id: str, task_id: str | None = None) -> None:
        """Let go of a model, at the end of its last lease. Harmless when it is not here."""
        await self._scheduler.tell(o.Released(model_id, task_id))
        await self._scheduler.departure(model_id)

    async def make_room(self) -> int:
        """Let go of every model that is idle and not pinned; return how many left."""
        leaving = await self._scheduler.tell(o.RoomWanted())
        for each in leaving:
            await self._scheduler.departure(each.model_id)
        return len(leaving)

    def wish(self, wishes: Mapping[str, ResidencyWish]) -> None:
        """Keep models in another way; unknown ones are left out."""
        for model_id, wish in wishes.items():
            seat = self._scheduler.policy.seats.get(model_id)
            if seat is not None and seat.wish != wish:
                self._scheduler.post(o.Wished(model_id, wish))

    def call_off(self, task_id: str) -> None:
        """End the wait of a void task. Harmless when it does not wait."""
        for request_id, of_task in self._tasks.items():
            if of_task == task_id:
                self._scheduler.call_off(request_id, _called_off())

    async def _request(
        self,
        model_id: str,
        task_id: str,
        artifact: Artifact,
        wish: ResidencyWish,
        *,
        hold: bool = False,
        force: bool = False,
    ) -> Request:
        facts = await self._device.facts()
        self._scheduler.limit(Limits(facts.memory_budget_bytes, self._most))
        sizing = await self._sizing(model_id, artifact)
        blocks = sizing.offload_blocks() if wish.offload and not force else 0
        need = sizing.need(blocks)
        ask = new_id("ask")
        return Request(ask, model_id, artifact, task_id, need, wish, hold, force, blocks)

    async def _sizing(self, model_id: str, artifact: Artifact) -> Sizing:
        there = self._arrivals.residents.get(model_id)
        if there is not None and there.artifact.fingerprint == artifact.fingerprint:
            return there.sizing
        await self._require(artifact)
        return await self._arrivals.sizing(artifact)

    async def _ask(self, request: Request) -> None:
        self._tasks[request.request_id] = request.task_id
        try:
            with span("bring in", model_id=request.model_id):
                await self._scheduler.ask(request)
        finally:
            del self._tasks[request.request_id]


def _called_off() -> MiStudioError:
    return StatusConflict(
        "The task was called off.", reason="cancelled", remedy="Ask again if it is still wanted."
    )
