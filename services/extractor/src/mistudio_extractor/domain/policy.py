"""Who is brought in, who leaves and who waits: the residency policy, without time or effects.

Rules, in the order in which they are applied:

1. a request whose model is there is granted at once; a lease may pass a request that needs room at
   most :data:`OVERTAKES` times, so that nobody is starved;
2. requests that need room are served in the order in which they came, one after the other;
3. room is made by the least recently used models that are idle and not pinned, as few as suffice;
4. a request waits for loads, departures and leases, and is refused when waiting would be in vain;
5. what is loading counts in full against the budget from its first moment, what leaves to its last.
"""

from __future__ import annotations

from collections.abc import Iterable

from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.values import ResidencyWish

from . import occurrences as o
from .needs import Limits, Need, Reading, required
from .refusals import device_memory
from .room import Answer, find_room, never
from .seats import Request, Seat, Stage, Waiting

_MOVING = (o.Loaded, o.LoadFailed, o.OutOfMemory, o.Left, o.LeaseEnded, o.Cancelled)
"""Events that change what the device's bytes are."""

OVERTAKES = 8
"""Leases granted at most before a request that came earlier and needs room."""


class Policy:
    """The models of a device and the requests for them. :meth:`step` is its one entrance.

    Parameters
    ----------
    limits
        Of the device.

    Attributes
    ----------
    seats
        By model, also those that load or leave.
    waiting
        Requests that are not answered yet, in the order in which they came.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.seats: dict[str, Seat] = {}
        self.waiting: list[Waiting] = []
        self._measuring = False
        self._outdated = False
        self._reading: Reading | None = None
        self._now = 0.0
        self._decided: list[o.Decision] = []

    def step(self, event: o.Event, now: float) -> list[o.Decision]:
        """Take an event and return what to do, in this order.

        Parameters
        ----------
        event
            What has happened.
        now
            Seconds of a monotonic clock.
        """
        self._now, self._decided = now, []
        # A reading under way may be of the time before this event.
        self._outdated = self._outdated or isinstance(event, _MOVING)
        self._take(event)
        self._let_go()
        self._serve()
        self._expire()
        # A reading is of the moment: whatever happens next makes it old.
        self._reading = None
        return self._decided

    def deadline(self) -> float | None:
        """Return when the next keep-alive is over, on the policy's clock; None for never."""
        ends = (seat.expires_at() for seat in self.seats.values())
        return min((end for end in ends if end is not None), default=None)

    def required_bytes(self) -> int:
        """Return the bytes that count against the budget now."""
        return required(seat.need for seat in self.seats.values())

    def _take(self, event: o.Event) -> None:
        match event:
            case o.Asked(request):
                self._ask(request)
            case o.Cancelled(request_id):
                self.waiting = [w for w in self.waiting if w.request.request_id != request_id]
                self._end_lease(request_id)
            case o.LeaseEnded(request_id):
                self._end_lease(request_id)
            case o.Loaded(model_id, weights):
                self._arrive(self.seats[model_id], weights)
            case o.LoadFailed(model_id, error):
                self._refuse(self._joined(self.seats.pop(model_id)), error)
            case o.OutOfMemory(model_id, free):
                self._retry(self.seats.pop(model_id), free)
            case o.Left(model_id):
                del self.seats[model_id]
            case o.Released(model_id, task_id):
                self._release(model_id, task_id)
            case o.Wished(model_id, wish):
                self._wish(model_id, wish)
            case o.RoomWanted():
                self._evict_idle()
            case o.Measured(reading):
                self._reading = None if self._outdated else reading
                self._measuring = self._outdated = False
            case o.NotMeasured(error):
                self._measuring = self._outdated = False
                self._refuse(self.in_need()[:1], error)
            case o.Ticked():
                pass

    def _ask(self, request: Request) -> None:
        seat = self.seats.get(request.model_id)
        same = seat is not None and seat.fingerprint == request.fingerprint
        if seat is not None and same and not request.hold and seat.stage is not Stage.LEAVING:
            seat.doomed = None  # Placed again before it was let go of.
        self.waiting.append(Waiting(request))

    def _end_lease(self, request_id: str) -> None:
        for seat in self.seats.values():
            if request_id in seat.leases:
                seat.leases.remove(request_id)
                seat.last_used = self._now

    def _arrive(self, seat: Seat, weights: int) -> None:
        seat.stage, seat.need = Stage.RESIDENT, Need(weights, seat.need.working)
        seat.last_used = self._now
        wanted = self._joined(seat)
        seat.joined = set()
        for each in wanted:
            self._grant(each, seat)
        if not wanted and seat.doomed is None:
            seat.doomed = seat.task_id  # Everyone who asked has gone.
        if not seat.forced:
            self._trim(seat)

    def _trim(self, newcomer: Seat) -> None:
        """Keep the budget when a model turns out to be larger than its estimate."""
        others = [s for s in self.seats.values() if s.evictable and s is not newcomer]
        for seat in sorted(others, key=lambda s: s.last_used):
            staying = [s.need for s in self.seats.values() if s.stage is not Stage.LEAVING]
            if required(staying) <= self.limits.budget:
                return
            self._evict(seat, seat.task_id, "lru")

    def _retry(self, seat: Seat, free: int) -> None:
        told = self._joined(seat)
        if told and not any(w.retried for w in told) and self._evict_idle():
            for each in told:
                each.retried = True
        else:
            self._refuse(told, device_memory(seat.need, free))

    def _joined(self, seat: Seat) -> list[Waiting]:
        return [w for w in self.waiting if w.request.request_id in seat.joined]

    def _release(self, model_id: str, task_id: str | None) -> None:
        seat = self.seats.get(model_id)
        if seat is not None and seat.stage is not Stage.LEAVING:
            seat.doomed = task_id or seat.task_id

    def _wish(self, model_id: str, wish: ResidencyWish) -> None:
        seat = self.seats.get(model_id)
        if seat is not None:
            seat.wish = wish

    def _let_go(self) -> None:
        for seat in self.seats.values():
            if seat.idle and seat.doomed is not None:
                self._evict(seat, seat.doomed, "requested")

    def _serve(self) -> None:
        first: Waiting | None = None
        for each in list(self.waiting):
            request = each.request
            seat = self.seats.get(request.model_id)
            if seat is not None and seat.serves(request):
                self._join(each, seat, first)
            elif refusal := never(request, list(self.seats.values()), self.limits):
                self._refuse([each], refusal)
            elif first is None and not self._make_room(each):
                first = each

    def _join(self, each: Waiting, seat: Seat, first: Waiting | None) -> None:
        request = each.request
        if seat.stage is Stage.LOADING:
            seat.joined.add(request.request_id)
        elif first is None or not request.hold:
            self._grant(each, seat)
        elif first.overtaken < OVERTAKES:
            first.overtaken += 1
            self._grant(each, seat)

    def _make_room(self, each: Waiting) -> bool:
        """Do the next thing for a request; return whether it is served, one way or the other."""
        request = each.request
        old = self.seats.get(request.model_id)
        if old is not None and old.fingerprint != request.fingerprint and old.doomed is None:
            old.doomed = old.task_id  # Another artifact takes its place.
            self._let_go()
        found = find_room(request, list(self.seats.values()), self.limits, self._reading)
        if isinstance(found, MiStudioError):
            self._refuse([each], found)
            return True
        if found.answer is Answer.LOAD:
            self._load(request)
            return True
        if found.answer is Answer.EVICT:
            for model_id in found.leaving:
                seat = self.seats[model_id]
                self._evict(seat, seat.task_id, "lru")
        if found.answer is Answer.MEASURE and not self._measuring:
            self._measuring = True
            self._decided.append(o.Measure())
        return False

    def _expire(self) -> None:
        for seat in self.seats.values():
            end = seat.expires_at()
            if end is not None and end <= self._now:
                self._evict(seat, seat.task_id, "keep_alive")

    def _evict_idle(self) -> int:
        idle = [seat for seat in self.seats.values() if seat.evictable]
        for seat in idle:
            self._evict(seat, seat.task_id, "lru")
        return len(idle)

    def _evict(self, seat: Seat, task_id: str, reason: o.Reason) -> None:
        seat.stage = Stage.LEAVING
        self._decided.append(o.Evict(seat.model_id, task_id, reason))

    def _load(self, request: Request) -> None:
        self.seats[request.model_id] = Seat(
            model_id=request.model_id,
            fingerprint=request.fingerprint,
            task_id=request.task_id,
            need=request.need,
            wish=request.wish,
            joined={request.request_id},
            forced=request.force,
        )
        self._decided.append(o.Load(request))

    def _grant(self, each: Waiting, seat: Seat) -> None:
        request = each.request
        self.waiting.remove(each)
        seat.last_used = self._now
        if request.hold:
            # Its wish may be older than the one in force: a shard lies in its queue for a while.
            seat.leases.add(request.request_id)
        else:
            seat.task_id, seat.wish = request.task_id, request.wish
        self._decided.append(o.Grant(request.request_id))

    def _refuse(self, each: Iterable[Waiting], error: MiStudioError) -> None:
        for one in list(each):
            self.waiting.remove(one)
            self._decided.append(o.Refuse(one.request.request_id, error))

    def in_need(self) -> list[Waiting]:
        """Return the requests whose model is neither there nor on its way."""
        seats = self.seats
        return [
            w
            for w in self.waiting
            if (seat := seats.get(w.request.model_id)) is None or not seat.serves(w.request)
        ]
