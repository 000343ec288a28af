"""Whatever happens on a device, and in whatever order, the policy keeps its rules.

:class:`.simulated.Simulated` checks them after every event: the budget holds with what loads and
leaves counted, a leased model stays, a pinned one stays unless it is released, every request is
answered once.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mistudio_contracts.values import ResidencyWish
from mistudio_extractor.domain.needs import Limits, Need

from .simulated import Simulated

SIZES = {"m_a": Need(20, 5), "m_b": Need(30, 10), "m_c": Need(45, 5), "m_d": Need(70, 10)}
"""Against a budget of 100: some fit together, some only alone."""

names = st.sampled_from(sorted(SIZES))
wishes = st.builds(
    ResidencyWish, pinned=st.booleans(), keep_alive_seconds=st.none() | st.sampled_from([0.0, 5.0])
)


class Residency(RuleBasedStateMachine):
    """Load, unload, pin, extract, cancel, fail and crash, as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.device = Simulated(Limits(100, models=3, loads=2))

    @rule(name=names, wish=wishes, force=st.booleans(), fingerprint=st.sampled_from("fffe"))
    def load(self, name: str, wish: ResidencyWish, force: bool, fingerprint: str) -> None:
        need = SIZES[name]
        self.device.ask(
            name, need.weights, need.working, wish=wish, force=force, fingerprint=fingerprint
        )

    @rule(name=names)
    def extract(self, name: str) -> None:
        self.device.ask(name, SIZES[name].weights, SIZES[name].working, hold=True)

    @rule(name=names)
    def unload(self, name: str) -> None:
        self.device.release(name)

    @rule(name=names, wish=wishes)
    def pin(self, name: str, wish: ResidencyWish) -> None:
        self.device.wish(name, wish)

    @precondition(lambda self: self.device.open or self.device.held)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        known = sorted([*self.device.open, *self.device.held])
        self.device.cancel(data.draw(st.sampled_from(known)))

    @precondition(lambda self: self.device.held)
    @rule(data=st.data())
    def end_extraction(self, data: st.DataObject) -> None:
        self.device.end(data.draw(st.sampled_from(sorted(self.device.held))))

    @precondition(lambda self: self.device.loading)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "ok", "ok", "broken", "memory"]))
    def load_ends(self, data: st.DataObject, outcome: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.device.loading)))
        if outcome == "ok":
            self.device.loaded(name)
        else:
            self.device.load_failed(name, out_of_memory=outcome == "memory")

    @precondition(lambda self: self.device.leaving)
    @rule(data=st.data())
    def departure_ends(self, data: st.DataObject) -> None:
        self.device.left(data.draw(st.sampled_from(sorted(self.device.leaving))))

    @precondition(lambda self: self.device.measuring)
    @rule(foreign=st.sampled_from([0, 0, 60, 140]))
    def reading_ends(self, foreign: int) -> None:
        self.device.foreign = foreign
        self.device.measured()

    @rule(seconds=st.sampled_from([1.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.device.tick(seconds)

    @rule()
    def crash(self) -> None:
        """The process ends; another one starts with an empty device and is ordered the same."""
        again = [*self.device.open.values(), *self.device.held.values()]
        self.device = Simulated(self.device.limits, now=self.device.now)
        for request in again:
            self.device.ask(
                request.model_id,
                request.need.weights,
                request.need.working,
                hold=request.hold,
                force=request.force,
                wish=request.wish,
                fingerprint=request.fingerprint[0],
            )

    @invariant()
    def nobody_is_starved(self) -> None:
        copy.deepcopy(self.device).finish()


Residency.TestCase.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
TestAnyOrderOfEvents = Residency.TestCase


def test_ten_thousand_random_steps_break_no_rule_and_starve_nobody() -> None:
    random_ = random.Random(3)
    device = Simulated(Limits(100, models=3, loads=2))
    steps = 0
    while steps < 10_000:
        choices = list(_moves(device, random_))
        random_.choice(choices)()
        steps += 1
        if random_.random() < 0.02:
            copy.deepcopy(device).finish()
        if random_.random() < 0.005:
            device = Simulated(device.limits, now=device.now)  # A crash.
    device.finish()


def _moves(device: Simulated, random_: random.Random) -> Iterator[Callable[[], object]]:
    name = random_.choice(sorted(SIZES))
    need = SIZES[name]
    wish = ResidencyWish(
        pinned=random_.random() < 0.2, keep_alive_seconds=random_.choice([None, None, 3.0])
    )
    if len(device.open) < 8:
        force = random_.random() < 0.05
        yield lambda: device.ask(name, need.weights, need.working, wish=wish, force=force)
        yield lambda: device.ask(name, need.weights, need.working, hold=True)
    yield lambda: device.release(name)
    yield lambda: device.wish(name, wish)
    yield lambda: device.tick(1.0)
    for request_id in random_.sample(sorted(device.open), min(1, len(device.open))):
        yield partial(device.cancel, request_id)
    for held in sorted(device.held):
        yield partial(device.end, held)
    for model_id in sorted(device.loading):
        yield partial(device.loaded, model_id)
        if random_.random() < 0.2:
            memory = random_.random() < 0.5
            yield partial(device.load_failed, model_id, out_of_memory=memory)
    for model_id in sorted(device.leaving):
        yield partial(device.left, model_id)
    if device.measuring:
        device.foreign = random_.choice([0, 0, 0, 60, 140])
        yield device.measured


def test_every_order_of_few_events_breaks_no_rule_and_starves_nobody() -> None:
    """Two models that do not fit together: all reachable states, six events deep."""
    first = Simulated(Limits(10, models=2, loads=2))
    states, seen = [first], 0
    for _ in range(6):
        found: dict[str, Simulated] = {}
        for state in states:
            for number in range(len(_options(state))):
                after = copy.deepcopy(state)
                _options(after)[number]()
                found.setdefault(_key(after), after)
        states = list(found.values())
        seen += len(states)
        for state in states:
            copy.deepcopy(state).finish()
    assert seen > 1000


def _options(device: Simulated) -> list[Callable[[], object]]:
    options: list[Callable[[], object]] = []
    for name in ("m_a", "m_b"):
        if len(device.open) < 3:
            options.append(partial(device.ask, name, 6, 1))
            options.append(partial(device.ask, name, 6, 1, hold=True))
        if name in device.policy.seats:
            options.append(partial(device.release, name))
            options.append(partial(device.wish, name, ResidencyWish(pinned=True)))
    options += [partial(device.cancel, each) for each in sorted(device.open)]
    options += [partial(device.end, each) for each in sorted(device.held)]
    for name in sorted(device.loading):
        options.append(partial(device.loaded, name))
        options.append(partial(device.load_failed, name, out_of_memory=True))
    options += [partial(device.left, name) for name in sorted(device.leaving)]
    if device.measuring:
        options.append(device.measured)
    return options


def _key(device: Simulated) -> str:
    seats = sorted(map(repr, device.policy.seats.values()))
    return repr((seats, device.policy.waiting, device.leaving, device.measuring, device.held))
