"""An extraction under any sequence of reports ends exactly once and never goes backwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mistudio_catalog.domain import ending, extracting
from mistudio_catalog.domain.extraction import (
    Extent,
    ExtractionPhase,
    ExtractionState,
    Holding,
    Live,
    ShardState,
    ShardStatus,
    shards_of,
)
from mistudio_contracts import events, reports
from mistudio_contracts.errors import MiStudioError, StatusConflict
from mistudio_contracts.states import (
    EXTRACTION_TRANSITIONS,
    Dtype,
    ExtractionStatus,
    Quantization,
)
from mistudio_contracts.values import (
    Artifact,
    ColumnPlan,
    DatasetRef,
    PlanCursor,
    ShardCut,
    Tokenization,
)

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
ARTIFACT = Artifact(
    fingerprint="a" * 32, quantization=Quantization.NONE, dtype=Dtype.FLOAT32, bytes=1
)
DATASET = DatasetRef(dataset_id="ds_x", fingerprint="b" * 32, sample_count=100)
HOLDING = Holding(
    cache_id="act_x",
    storage_path="/x",
    width=64,
    bytes=10,
    extent=Extent(rows_considered=100, samples=40, tokens=400),
)
ENDS = (events.ExtractionCompleted, events.ExtractionFailed, events.ExtractionCancelled)


def waiting() -> ExtractionState:
    return ExtractionState(
        id="ext_x",
        pool="default",
        model_id="m_x",
        dataset_id="ds_x",
        actor="alice",
        hook_points=("layers.0.resid_post",),
        dtype=Dtype.FLOAT32,
        tokenization=Tokenization(column="text"),
        rows_considered=100,
        created_at=START,
        updated_at=START,
    )


def plan(
    shards: int, there: int, first: int = 0, *, more: bool = False
) -> reports.ExtractionPlannedReport:
    """Return a part of a plan, a shard for each ten of the hundred rows."""
    end = first + shards
    following = PlanCursor(row=10 * end, shards=end, samples=10 * end, tokens=100 * end)
    return reports.ExtractionPlannedReport(
        task_id="task_1",
        extraction_id="ext_x",
        samples=10 * end,
        tokens=100 * end,
        cuts=[ShardCut(samples=10, tokens=100)] * shards,
        columns=[ColumnPlan(hook_point="layers.0.resid_post", shards_there=there)],
        first=first,
        first_sample=10 * first,
        next=following if more else None,
    )


def live(samples: int) -> Live:
    """Return so many samples under way, of 10 tokens each through one block."""
    return Live(samples, 10 * samples)


class Extracting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = waiting()
        self.shards: list[ShardState] = []
        self.whole = False
        self.now = START
        self.progress: list[float] = []
        self.ends: list[type] = []

    def take(self, step: extracting.Step) -> None:
        before, (self.state, effects) = self.state, step
        if self.state.status is not before.status:
            assert self.state.status in EXTRACTION_TRANSITIONS[before.status]
        for effect in effects:
            if isinstance(effect.payload, events.ExtractionProgress):
                assert not self.ends, "nothing is told after the end"
                self.progress.append(effect.payload.progress)
            if isinstance(effect.payload, ENDS):
                self.ends.append(type(effect.payload))

    @rule(seconds=st.integers(0, 10))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def begin(self) -> None:
        self.take(
            extracting.begin(self.state, ARTIFACT, DATASET, "c" * 32, "task_1", 100, self.now)
        )

    @rule(
        first=st.integers(0, 6),
        shards=st.integers(1, 3),
        there=st.integers(0, 5),
        more=st.booleans(),
        stale=st.booleans(),
    )
    def planned(self, first: int, shards: int, there: int, more: bool, stale: bool) -> None:
        report = plan(shards, there, first, more=more)
        if stale:
            report = report.model_copy(update={"task_id": "task_stale"})
        cut = shards_of(report.shards)
        step = extracting.planned(self.state, report, cut, self.now)
        if stale or first != len(self.shards):
            assert step == (self.state, ()), "a part counts once, after the one before"
        if step[0] is not self.state:
            self.shards += cut
            self.whole = not more
        self.take(step)

    @rule(ahead=st.integers(0, 4))
    def plan_on(self, ahead: int) -> None:
        before = self.state
        step = extracting.plan_on(self.state, ahead, 100)
        if step[0] is not before:
            (order,) = (effect.payload for effect in step[1])
            assert order.begin == before.plan_from
            waiting = [s for s in self.shards if s.status is not ShardStatus.CAPTURED]
            assert len(waiting) < ahead, "the planner does not run away from the capture"
        self.take(step)

    @rule(samples=st.integers(0, 60))
    def live(self, samples: int) -> None:
        self.take(extracting.progressed(self.state, live(samples), self.now))

    @precondition(lambda self: self.shards)
    @rule(data=st.data(), others=st.integers(0, 30))
    def captured(self, data: st.DataObject, others: int) -> None:
        index = data.draw(st.integers(0, len(self.shards) - 1))
        shard = self.shards[index]
        step = extracting.captured(self.state, shard, live(others), self.now)
        if shard.status is ShardStatus.CAPTURED:
            assert step == (self.state, ()), "a shard counts once"
        elif step[0] is not self.state:
            self.shards[index] = replace(shard, status=ShardStatus.CAPTURED)
        self.take(step)

    @rule()
    def commit(self) -> None:
        step = extracting.commit(self.state, self.now)
        if step[0] is not self.state:
            assert self.whole, "nothing is committed before the last part has come"
            assert all(shard.status is ShardStatus.CAPTURED for shard in self.shards)
        self.take(step)

    @precondition(lambda self: self.state.phase is ExtractionPhase.COMMITTING)
    @rule()
    def committed(self) -> None:
        self.take(ending.completed(self.state, HOLDING, False, self.now))

    @rule()
    def fail(self) -> None:
        self.take(ending.failed(self.state, MiStudioError("no").body(), self.now))

    @rule()
    def cancel(self) -> None:
        before = self.state.status
        try:
            self.take(ending.cancelled(self.state, self.now))
        except StatusConflict:
            assert before in (ExtractionStatus.COMPLETED, ExtractionStatus.FAILED)

    @invariant()
    def it_ends_once(self) -> None:
        assert len(self.ends) == int(self.state.status.terminal)

    @invariant()
    def progress_never_goes_back_and_is_whole_only_at_completion(self) -> None:
        assert self.progress == sorted(self.progress)
        assert (self.state.progress == 100) == (self.state.status is ExtractionStatus.COMPLETED)

    @invariant()
    def shards_are_counted_once(self) -> None:
        done = sum(shard.status is ShardStatus.CAPTURED for shard in self.shards)
        assert self.state.shards_completed == done


Extracting.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_an_extraction_keeps_its_promises = Extracting.TestCase


class TestTimeLeft:
    """Told at the pace of what is computed, once there is one."""

    @staticmethod
    def capturing(there: int) -> ExtractionState:
        state, _ = extracting.begin(waiting(), ARTIFACT, DATASET, "c" * 32, "task_1", 100, START)
        report = plan(10, there)
        state, _ = extracting.planned(state, report, shards_of(report.shards), START)
        return state

    @pytest.mark.parametrize("there", [0, 5])
    def test_neither_placing_nor_the_cache_belongs_to_the_pace(self, there: int) -> None:
        state = self.capturing(there)
        assert state.seconds_left is None
        # The model took a minute to place; then there are two samples a second.
        for second in range(11):
            now = START + timedelta(seconds=60 + second)
            state, _ = extracting.progressed(state, live(2 * (second + 1)), now)
            left = 100 - 10 * there - 2 * (second + 1)
            expected = None if second < 2 else pytest.approx(left / 2)
            assert state.seconds_left == expected

    def test_it_is_told_with_progress_and_ends_with_the_capture(self) -> None:
        state = self.capturing(0)
        state, _ = extracting.progressed(state, live(10), START)
        state, told = extracting.progressed(state, live(20), START + timedelta(seconds=5))
        assert [each.payload.seconds_left for each in told] == [pytest.approx(40)]
        over, _ = ending.failed(state, MiStudioError("no").body(), START)
        assert over.seconds_left is None


def test_progress_is_told_at_every_five_percent_or_two_seconds() -> None:
    state, _ = extracting.begin(waiting(), ARTIFACT, DATASET, "c" * 32, "task_1", 100, START)
    report = plan(10, 0)
    state, _ = extracting.planned(state, report, shards_of(report.shards), START)
    state, told = extracting.progressed(state, live(4), START)
    assert told == ()
    state, told = extracting.progressed(state, live(5), START)
    assert len(told) == 1
    state, told = extracting.progressed(state, live(6), START + timedelta(seconds=1))
    assert told == ()
    state, told = extracting.progressed(state, live(7), START + timedelta(seconds=2))
    assert len(told) == 1


def test_before_all_is_planned_totals_are_unknown_and_progress_is_of_the_rows() -> None:
    state, _ = extracting.begin(waiting(), ARTIFACT, DATASET, "c" * 32, "task_1", 100, START)
    report = plan(2, 0, more=True)
    state, told = extracting.planned(state, report, shards_of(report.shards), START)
    assert (state.counted_samples, state.counted_tokens) == (None, None)
    assert told[0].payload.total_samples == 0
    state, _ = extracting.progressed(state, live(10), START)
    assert state.progress == pytest.approx(10), "10 of 20 samples of a fifth of the rows"
    state, told = extracting.progressed(state, live(20), START + timedelta(seconds=10))
    assert state.seconds_left == pytest.approx(80), "the other rows are taken to be alike"
    rest = plan(8, 0, 2)
    state, _ = extracting.planned(state, rest, shards_of(rest.shards), START)
    assert state.counted_samples is None, "the part was not ordered"
    state, _ = extracting.plan_on(state, 4, 100)
    state, told = extracting.planned(state, rest, shards_of(rest.shards), START)
    assert (state.counted_samples, state.counted_tokens) == (100, 1000)
    assert told[0].payload.total_samples == 100
    assert state.progress == pytest.approx(20)
