"""The one task that asks the policy, and has done what it decides."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from mistudio_contracts.errors import MiStudioError
from mistudio_extractor.domain import occurrences as o
from mistudio_extractor.domain.needs import Limits, Reading
from mistudio_extractor.domain.policy import Policy
from mistudio_extractor.domain.seats import Request
from mistudio_servicekit.tasks import cancel

log = logging.getLogger(__name__)


class NoMemory(Exception):
    """A load found too little memory; ``free`` are the bytes that the device had left."""

    def __init__(self, free: int) -> None:
        super().__init__(f"{free} bytes were free")
        self.free = free


class Effects(Protocol):
    """What the policy's decisions do to a device."""

    async def load(self, request: Request) -> int:
        """Bring a model in and return its measured bytes.

        Raises
        ------
        NoMemory
            When the device's memory did not suffice; nothing is left behind.
        MiStudioError
            When it cannot be brought in; nothing is left behind.
        """
        ...

    async def unload(self, evict: o.Evict) -> None:
        """Let go of a model and give its memory back. Must not fail."""
        ...

    async def measure(self) -> Reading:
        """Read the device's bytes.

        Raises
        ------
        MiStudioError
            When the device does not answer.
        """
        ...


@dataclass(frozen=True)
class _Posted:
    event: o.Event
    applied: asyncio.Future[list[o.Decision]] | None = None


class Scheduler:
    """Takes events in order, one at a time; whoever asks waits for the policy's answer.

    Parameters
    ----------
    effects
        Carries decisions out; each in a task of its own, so that none holds up the next event.
    clock
        Seconds, monotonic.

    Attributes
    ----------
    changed
        Set when a model came, left, or is kept in another way.
    """

    def __init__(self, effects: Effects, clock: Callable[[], float] = time.monotonic) -> None:
        self._effects, self._clock = effects, clock
        self.policy = Policy(Limits(budget=0))
        self._events: asyncio.Queue[_Posted] = asyncio.Queue()
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._departures: dict[str, asyncio.Future[None]] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()

    async def start(self) -> None:
        """Begin to take events."""
        self._task = asyncio.create_task(self._run(), name="residency")

    async def stop(self) -> None:
        """Take no more events; what waits is not answered any more."""
        if self._timer is not None:
            self._timer.cancel()
        await cancel(self._task, *self._working)

    async def alive(self) -> bool:
        """Return whether it still takes events."""
        return self._task is not None and not self._task.done()

    def limit(self, limits: Limits) -> None:
        """Set what the device may hold; before the first request."""
        self.policy.limits = limits

    async def ask(self, request: Request) -> None:
        """Wait until a request is granted; called off when the caller is cancelled.

        Raises
        ------
        MiStudioError
            Why it is refused.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[request.request_id] = answer
        self.post(o.Asked(request))
        try:
            await answer
        except asyncio.CancelledError:
            self.post(o.Cancelled(request.request_id))
            raise
        finally:
            del self._asked[request.request_id]

    def call_off(self, request_id: str, error: MiStudioError) -> None:
        """End a request that waits, with ``error`` for who asked; harmless when it is answered."""
        answer = self._asked.get(request_id)
        if answer is not None and not answer.done():
            answer.set_exception(error)
            self.post(o.Cancelled(request_id))

    def post(self, event: o.Event) -> None:
        """Take an event; it is dealt with soon, in order."""
        self._events.put_nowait(_Posted(event))

    async def tell(self, event: o.Event) -> list[o.Evict]:
        """Take an event, wait until it is dealt with, and return the departures it began."""
        applied: asyncio.Future[list[o.Decision]] = asyncio.get_running_loop().create_future()
        self._events.put_nowait(_Posted(event, applied))
        return [each for each in await applied if isinstance(each, o.Evict)]

    async def departure(self, model_id: str) -> None:
        """Wait until a model that is leaving has left."""
        leaving = self._departures.get(model_id)
        if leaving is not None:
            await asyncio.shield(leaving)

    async def _run(self) -> None:
        while True:
            posted = await self._events.get()
            decided = self.policy.step(posted.event, self._clock())
            if isinstance(posted.event, o.Left):
                self._departures.pop(posted.event.model_id).set_result(None)
            for decision in decided:
                self._apply(decision)
            if posted.applied is not None and not posted.applied.done():
                posted.applied.set_result(decided)
            self._arm()
            if isinstance(posted.event, (o.Loaded, o.Left, o.Wished)):
                self.changed.set()

    def _apply(self, decision: o.Decision) -> None:
        match decision:
            case o.Grant(request_id):
                self._answer(request_id, None)
            case o.Refuse(request_id, error):
                self._answer(request_id, error)
            case o.Load(request):
                self._do(self._load(request), f"load-{request.model_id}")
            case o.Evict(model_id):
                gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._departures[model_id] = gone
                self._do(self._unload(decision), f"unload-{model_id}")
            case o.Measure():
                self._do(self._measure(), "measure-memory")

    def _answer(self, request_id: str, error: MiStudioError | None) -> None:
        answer = self._asked.get(request_id)
        if answer is None or answer.done():
            return  # The caller was cancelled meanwhile; its Cancelled is on the way.
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)

    def _do(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _load(self, request: Request) -> None:
        try:
            weights = await self._effects.load(request)
        except NoMemory as error:
            self.post(o.OutOfMemory(request.model_id, error.free))
        except MiStudioError as error:
            self.post(o.LoadFailed(request.model_id, error))
        except Exception:
            log.exception("A load failed.", extra={"model_id": request.model_id})
            self.post(o.LoadFailed(request.model_id, _unexpected()))
        else:
            self.post(o.Loaded(request.model_id, weights))

    async def _unload(self, evict: o.Evict) -> None:
        try:
            await self._effects.unload(evict)
        except Exception:
            log.exception("A model was not let go of in order.", extra={"model_id": evict.model_id})
        self.post(o.Left(evict.model_id))

    async def _measure(self) -> None:
        try:
            reading = await self._effects.measure()
        except MiStudioError as error:
            self.post(o.NotMeasured(error))
        except Exception:
            log.exception("The device's memory could not be read.")
            self.post(o.NotMeasured(_unexpected()))
        else:
            self.post(o.Measured(reading))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.policy.deadline()
        if due is not None:
            pause = max(0.0, due - self._clock())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(pause, self.post, o.Ticked())


def _unexpected() -> MiStudioError:
    return MiStudioError(
        "An unexpected error; the logs have the details.",
        reason="unexpected",
        remedy="Look for the error in the extractor's log, or report it.",
    )
