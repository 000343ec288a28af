"""A device without memory: takes the policy's decisions and checks each against the rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mistudio_contracts.errors import InsufficientMemory, MiStudioError, ModelLoadFailed
from mistudio_contracts.states import Dtype, Quantization
from mistudio_contracts.values import Artifact, ResidencyWish
from mistudio_extractor.domain import occurrences as o
from mistudio_extractor.domain.needs import Limits, Need, Reading
from mistudio_extractor.domain.policy import OVERTAKES, Policy
from mistudio_extractor.domain.seats import Request, Stage


@dataclass
class Simulated:
    """What a device would do: loads, departures and readings that end when the test says so.

    Parameters
    ----------
    limits
        Of the device.
    foreign
        Bytes that others hold of its memory, which is twice the budget.
    """

    limits: Limits
    foreign: int = 0
    now: float = 0.0
    policy: Policy = field(init=False)
    loading: dict[str, Request] = field(default_factory=dict)
    leaving: list[str] = field(default_factory=list)
    measuring: bool = False
    open: dict[str, Request] = field(default_factory=dict)
    held: dict[str, Request] = field(default_factory=dict)
    refused: dict[str, MiStudioError] = field(default_factory=dict)
    granted: list[str] = field(default_factory=list)
    evicted: list[o.Evict] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    count: int = 0

    def __post_init__(self) -> None:
        self.policy = Policy(self.limits)

    def ask(
        self,
        model_id: str,
        weights: int,
        working: int = 0,
        *,
        hold: bool = False,
        force: bool = False,
        wish: ResidencyWish | None = None,
        fingerprint: str = "f",
    ) -> str:
        self.count += 1
        artifact = Artifact(
            fingerprint=fingerprint * 32,
            quantization=Quantization.NONE,
            dtype=Dtype.FLOAT32,
            bytes=weights,
        )
        request = Request(
            f"r{self.count}",
            model_id,
            artifact,
            f"task_{self.count}",
            Need(weights, working),
            wish or ResidencyWish(),
            hold,
            force,
        )
        self.open[request.request_id] = request
        if not hold:
            self.released.discard(model_id)
        self.tell(o.Asked(request))
        return request.request_id

    def end(self, request_id: str) -> None:
        del self.held[request_id]
        self.tell(o.LeaseEnded(request_id))

    def cancel(self, request_id: str) -> None:
        self.open.pop(request_id, None)
        self.held.pop(request_id, None)
        self.tell(o.Cancelled(request_id))

    def release(self, model_id: str) -> None:
        self.released.add(model_id)
        self.tell(o.Released(model_id, "task_out"))

    def wish(self, model_id: str, wish: ResidencyWish) -> None:
        self.tell(o.Wished(model_id, wish))

    def loaded(self, model_id: str, weights: int | None = None) -> None:
        request = self.loading.pop(model_id)
        self.tell(o.Loaded(model_id, request.need.weights if weights is None else weights))

    def load_failed(self, model_id: str, *, out_of_memory: bool = False) -> None:
        del self.loading[model_id]
        if out_of_memory:
            self.tell(o.OutOfMemory(model_id, free=3))
        else:
            self.tell(o.LoadFailed(model_id, ModelLoadFailed("broken", reason="placing_failed")))

    def left(self, model_id: str) -> None:
        self.leaving.remove(model_id)
        self.released.discard(model_id)
        self.tell(o.Left(model_id))

    def measured(self) -> None:
        self.measuring = False
        seats = self.policy.seats.values()
        used = sum(s.need.weights for s in seats if s.stage is not Stage.LOADING)
        free = 2 * self.limits.budget - used - self.foreign
        self.tell(o.Measured(Reading(used, max(0, free))))

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.tell(o.Ticked())

    def settle(self) -> None:
        """Let everything under way end, until nothing more is."""
        while self.loading or self.leaving or self.measuring:
            if self.measuring:
                self.measured()
            elif self.leaving:
                self.left(self.leaving[0])
            else:
                self.loaded(next(iter(self.loading)))

    def finish(self) -> None:
        """Let everything end, leases too: then nobody may be left waiting."""
        self.settle()
        while self.held:
            self.end(next(iter(self.held)))
            self.settle()
        assert not self.open, "a request was starved"
        assert not self.policy.waiting

    def tell(self, event: o.Event) -> None:
        before = {m: (s.pinned, s.fingerprint) for m, s in self.policy.seats.items()}
        self._take(self.policy.step(event, self.now), before)
        self._check()

    def _take(self, decisions: Iterable[o.Decision], before: dict[str, tuple[bool, str]]) -> None:
        for decision in decisions:
            match decision:
                case o.Load(request):
                    assert request.model_id not in self.loading
                    self.loading[request.model_id] = request
                case o.Evict(model_id, _, reason):
                    self._may_leave(model_id, reason, before)
                    self.leaving.append(model_id)
                    self.evicted.append(decision)
                case o.Grant(request_id):
                    request = self.open.pop(request_id)
                    seat = self.policy.seats[request.model_id]
                    assert seat.fingerprint == request.fingerprint
                    self.granted.append(request_id)
                    if request.hold:
                        self.held[request_id] = request
                case o.Refuse(request_id, error):
                    del self.open[request_id]
                    self.refused[request_id] = error
                case o.Measure():
                    assert not self.measuring
                    self.measuring = True

    def _may_leave(self, model_id: str, reason: str, before: dict[str, tuple[bool, str]]) -> None:
        assert model_id not in self.loading
        assert model_id not in self.leaving
        assert not [r for r in self.held.values() if r.model_id == model_id], "in use"
        if reason == "requested":
            return
        assert not self.policy.seats[model_id].wish.pinned, "a pinned model was sent away"

    def _check(self) -> None:
        policy, seats = self.policy, self.policy.seats
        assert len(seats) <= self.limits.models
        assert sum(s.stage is Stage.LOADING for s in seats.values()) <= self.limits.loads
        if not any(s.forced for s in seats.values()):
            assert policy.required_bytes() <= self.limits.budget, "over the budget"
        assert {w.request.request_id for w in policy.waiting} == set(self.open)
        assert {i for s in seats.values() for i in s.leases} == set(self.held)
        assert all(w.overtaken <= OVERTAKES for w in policy.waiting)
        for each in self.refused.values():
            assert "required_memory_gb" in each.details or isinstance(each, ModelLoadFailed)

    def reason(self, request_id: str) -> object:
        error = self.refused[request_id]
        assert isinstance(error, InsufficientMemory)
        return error.details["reason"]
