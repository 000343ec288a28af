"""A model under any sequence of commands and reports keeps its promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mistudio_catalog.domain import loading, progress, residency
from mistudio_catalog.domain.device import DeviceState
from mistudio_catalog.domain.formats import check_available
from mistudio_catalog.domain.model import ModelPhase, ModelState
from mistudio_catalog.domain.outgoing import Effects
from mistudio_contracts import events, reports, rpc, subjects
from mistudio_contracts.errors import InvalidInput, MiStudioError, StatusConflict
from mistudio_contracts.states import (
    MODEL_TRANSITIONS,
    Dtype,
    Int4Type,
    LoadStage,
    ModelStatus,
    Quantization,
    Source,
)
from mistudio_contracts.values import Artifact, QuantizationOptions

from .support import facts

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
STALL = timedelta(seconds=300)
FP4 = QuantizationOptions(int4_type=Int4Type.FP4)


def pending() -> ModelState:
    return ModelState(
        id="m_x",
        pool="default",
        name="x",
        source=Source.LOCAL,
        model_identifier="/models/x",
        quantization=Quantization.NONE,
        created_at=START,
        updated_at=START,
    )


def prepared_report(model: ModelState, task_id: str) -> reports.ModelPreparedReport:
    return reports.ModelPreparedReport(
        task_id=task_id,
        model_id=model.id,
        facts=facts(),
        artifact=Artifact(
            fingerprint="a" * 32, quantization=model.quantization, dtype=Dtype.FLOAT32, bytes=9
        ),
        seconds=1,
    )


def placed_report(model: ModelState, task_id: str) -> reports.ModelPlacedReport:
    return reports.ModelPlacedReport(
        task_id=task_id, model_id=model.id, device_id="dev_1", memory_usage_bytes=5, seconds=1
    )


class Loading(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = pending()
        self.now = START
        self.tasks: list[str] = []
        self.ends: dict[str, list[str]] = {}
        self.told: dict[str, list[tuple[int, float]]] = {}
        self.void: set[str] = set()
        self.open: set[str] = set()

    def task(self) -> str:
        self.tasks.append(f"task_{len(self.tasks)}")
        return self.tasks[-1]

    def take(self, step: loading.Step) -> None:
        before, (self.model, effects) = self.model, step
        if self.model.status is not before.status:
            assert self.model.status in MODEL_TRANSITIONS[before.status]
        self.note(effects)

    def note(self, effects: Effects) -> None:
        for effect in effects:
            message = effect.payload
            if isinstance(message, events.ModelLoading):
                self.told[message.task_id] = [(0, message.progress)]
                self.open.add(message.task_id)
            if isinstance(message, rpc.CancelWork):
                self.void.update(message.task_ids)
                self.open -= self.void
            if isinstance(message, events.ModelLoadProgress):
                stage = list(LoadStage).index(message.stage)
                self.told[message.task_id].append((stage, message.progress))
            if isinstance(message, events.ModelReady | events.ModelFailed):
                self.ends.setdefault(message.task_id, []).append(effect.subject.pattern)
                self.open.discard(message.task_id)
            if isinstance(message, events.ModelReady):
                assert message.task_id not in self.void, "a cancelled task never makes ready"

    def stale_or_true(self, stale: bool) -> str:
        """Return the task under way, or one of before, of which a late report speaks."""
        if not stale and self.model.task_id is not None:
            return self.model.task_id
        known = (self.model.task_id, self.model.placed_task_id)
        older = [task for task in self.tasks if task not in known]
        return older[len(self.told) % len(older)] if older else "task_stale"

    @rule(seconds=st.integers(0, 100))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(
        quantization=st.sampled_from([None, *Quantization]),
        options=st.sampled_from([None, QuantizationOptions(), FP4]),
        force=st.booleans(),
    )
    def load(
        self, quantization: Quantization | None, options: QuantizationOptions | None, force: bool
    ) -> None:
        before = self.model
        try:
            step = loading.request_load(
                self.model,
                self.task(),
                self.now,
                quantization=quantization,
                options=options,
                force=force,
            )
            self.take(step)
        except StatusConflict:
            assert before.status in (ModelStatus.READY, ModelStatus.LOADING)
        if before.status is ModelStatus.LOADING:
            assert replace(self.model, force=before.force) == before, "it is answered with itself"

    @rule()
    def admit(self) -> None:
        self.take(loading.admit(self.model, self.now))

    @rule(
        percent=st.floats(0, 100),
        stage=st.sampled_from(LoadStage),
        retry=st.integers(0, 3),
        waiting=st.booleans(),
        stale=st.booleans(),
    )
    def progress(
        self, percent: float, stage: LoadStage, retry: int, waiting: bool, stale: bool
    ) -> None:
        report = reports.LoadProgressedReport(
            task_id=self.stale_or_true(stale),
            model_id="m_x",
            stage=stage,
            progress=percent,
            retry=retry,
            waiting=waiting,
        )
        self.report(progress.progressed(self.model, report, self.now), stale)

    @rule()
    def look_for_a_stall(self) -> None:
        before = self.model
        self.take(progress.stalled(before, self.now - STALL, self.now))
        if self.model is not before:
            assert before.progressed_at is not None
            assert self.now - before.progressed_at > STALL, "it moved not long ago"
            assert before.task_id in self.void

    @rule(pinned=st.booleans())
    def pin(self, pinned: bool) -> None:
        self.model = replace(self.model, pinned=pinned)

    @rule()
    def a_device_starts(self) -> None:
        before = self.model
        self.take(residency.preload(before, self.task(), self.now))
        nowhere = before.status in (ModelStatus.PENDING, ModelStatus.UNLOADED)
        assert (self.model is not before) is (before.pinned and nowhere)

    @rule(stale=st.booleans())
    def prepared(self, stale: bool) -> None:
        report = prepared_report(self.model, self.stale_or_true(stale))
        self.report(loading.prepared(self.model, report, self.now), stale)

    @rule(stale=st.booleans())
    def placed(self, stale: bool) -> None:
        report = placed_report(self.model, self.stale_or_true(stale))
        self.report(loading.placed(self.model, report, self.now), stale)
        again = loading.placed(self.model, report, self.now)
        assert again == (self.model, ()), "a duplicate has no effect"

    @rule(stale=st.booleans())
    def fail(self, stale: bool) -> None:
        task = self.stale_or_true(stale)
        error = MiStudioError("no").body()
        self.report(loading.failed(self.model, task, error, self.now), stale)
        again = loading.failed(self.model, task, error, self.now)
        assert again == (self.model, ()), "a duplicate has no effect"

    def report(self, step: loading.Step, stale: bool) -> None:
        if stale:
            assert step == (self.model, ()), "a stale report has no effect"
        self.take(step)

    @precondition(lambda self: self.model.status is ModelStatus.LOADING)
    @rule()
    def cancel(self) -> None:
        self.take(residency.cancel_load(self.model, self.task(), self.now))

    @precondition(lambda self: self.model.status is ModelStatus.READY)
    @rule()
    def unload(self) -> None:
        self.take(residency.request_unload(self.model, 0, self.task(), self.now))
        assert not self.model.pinned

    @rule(
        reason=st.sampled_from(["lru", "keep_alive", "requested", "shutdown"]), stale=st.booleans()
    )
    def evicted(self, reason: str, stale: bool) -> None:
        report = reports.ModelEvictedReport(
            task_id=self.stale_or_true(stale),
            model_id="m_x",
            device_id="dev_1",
            reason=reason,
            freed_bytes=1,
        )
        self.report(residency.evicted(self.model, report, self.task(), self.now), stale)

    @rule()
    def absent(self) -> None:
        self.take(residency.absent(self.model, self.now))

    @rule()
    def place_again(self) -> None:
        self.take(residency.place_again(self.model, self.task(), self.now))

    @invariant()
    def each_task_ends_once(self) -> None:
        assert all(len(ends) == 1 for ends in self.ends.values()), self.ends

    @invariant()
    def at_most_one_load_is_in_flight(self) -> None:
        loading_now = self.model.status is ModelStatus.LOADING
        assert self.open == ({self.model.task_id} if loading_now else set())

    @invariant()
    def progress_never_goes_back(self) -> None:
        for told in self.told.values():
            assert [t[0] for t in told] == sorted(t[0] for t in told)
            assert [t[1] for t in told] == sorted(t[1] for t in told)

    @invariant()
    def phase_fits_status(self) -> None:
        phases = {
            ModelStatus.LOADING: {ModelPhase.WAITING, ModelPhase.PREPARING, ModelPhase.PLACING},
            ModelStatus.READY: {ModelPhase.IDLE, ModelPhase.PLACING, ModelPhase.RELEASING},
        }
        assert self.model.phase in phases.get(self.model.status, {ModelPhase.IDLE})
        assert (self.model.progress == 100) == (self.model.status is ModelStatus.READY)


Loading.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
test_a_model_keeps_its_promises = Loading.TestCase


@pytest.mark.parametrize(
    ("quantization", "options", "same"),
    [
        (None, None, True),
        (Quantization.INT4, QuantizationOptions(), True),
        (None, FP4, False),
        (Quantization.INT4, FP4, False),
        (Quantization.INT8, None, False),
    ],
)
def test_int4_made_otherwise_is_another_format(
    quantization: Quantization | None, options: QuantizationOptions | None, same: bool
) -> None:
    model = replace(
        pending(),
        quantization=Quantization.INT4,
        fingerprint="a" * 32,
        artifact_dtype=Dtype.FLOAT16,
        artifact_quantization=Quantization.INT4,
        artifact_options=QuantizationOptions(),
    )
    assert model.is_of(quantization, options) is same
    asked, _ = loading.request_load(
        model, "task_1", START, quantization=quantization, options=options
    )
    assert (asked.artifact is not None) is same, "files of another format do not count"


def test_options_of_int4_tell_no_other_formats_apart() -> None:
    assert pending().is_of(Quantization.NONE, FP4)


def test_a_second_request_may_still_force_a_load_that_is_not_being_placed() -> None:
    model, _ = loading.request_load(pending(), "task_1", START)
    forced, effects = loading.request_load(model, "task_2", START, force=True)
    assert (forced.force, forced.task_id, effects) == (True, "task_1", ())


def device(name: str, **unavailable: str) -> DeviceState:
    return DeviceState(
        id=f"dev_{name}",
        pool="default",
        kind="cuda",
        name=name,
        online=True,
        memory_total_bytes=8,
        memory_budget_bytes=6,
        memory_used_bytes=0,
        told_used_bytes=0,
        residents=(),
        store_bytes=0,
        store_free_bytes=0,
        started_at=START,
        reported_at=START,
        last_seen_at=START,
        unavailable_formats={Quantization(key): value for key, value in unavailable.items()},
    )


def test_a_format_that_no_device_can_compute_with_is_refused_with_those_that_work() -> None:
    broken = device("orin", int8="no kernel image", int4="no kernel image")
    with pytest.raises(InvalidInput) as caught:
        check_available(Quantization.INT4, [broken])
    details = caught.value.details
    assert (details["field"], details["reason"]) == ("quantization", "quantization_unavailable")
    assert "no kernel image" in caught.value.message
    assert details["remedy"] == "Choose one of none, fp16, bf16."
    check_available(Quantization.FP16, [broken])
    check_available(Quantization.INT4, [broken, device("other")])
    check_available(Quantization.INT4, [replace(broken, online=False)])
    check_available(Quantization.INT4, [])


def test_a_cancelled_load_goes_back_whence_it_came() -> None:
    model, _ = loading.request_load(pending(), "task_1", START)
    back, effects = residency.cancel_load(model, "task_2", START)
    assert back.status is ModelStatus.PENDING
    assert [e.subject for e in effects] == [
        subjects.CONTROL_CANCEL,
        subjects.CONTROL_RELEASE,
        subjects.MODEL_UNLOADED,
    ]
    model, _ = loading.admit(model, START)
    model, _ = loading.prepared(model, prepared_report(model, "task_1"), START)
    assert residency.cancel_load(model, "task_2", START)[0].status is ModelStatus.UNLOADED


def test_a_model_in_use_is_not_unloaded_and_says_how_many_use_it() -> None:
    model, _ = loading.request_load(pending(), "task_1", START)
    model, _ = loading.admit(model, START)
    model, _ = loading.prepared(model, prepared_report(model, "task_1"), START)
    model, _ = loading.placed(model, placed_report(model, "task_1"), START)
    with pytest.raises(StatusConflict) as caught:
        residency.request_unload(model, 2, "task_2", START)
    assert caught.value.message.startswith("2 extractions")
    assert caught.value.details["active_extractions"] == 2


def working(**more: Any) -> ModelState:
    model, _ = loading.request_load(pending(), "task_1", START)
    model, _ = loading.admit(model, START)
    return replace(model, **more)


def says(model: ModelState, seconds: float, **more: Any) -> ModelState:
    """Return the model after its worker spoke, ``seconds`` after the start."""
    report = reports.LoadProgressedReport(
        **{"task_id": "task_1", "model_id": "m_x", "stage": "downloading", "progress": 10, **more}
    )
    return progress.progressed(model, report, START + timedelta(seconds=seconds))[0]


@pytest.mark.parametrize(
    ("later", "moved"),
    [
        ({}, False),
        ({"progress": 9}, False),
        ({"stage": "resolving", "progress": 99}, False),
        ({"progress": 11}, True),
        ({"bytes_done": 1}, True),
        ({"stage": "verifying", "progress": 0}, True),
        ({"retry": 1}, True),
        ({"waiting": True}, True),
    ],
)
def test_a_worker_that_repeats_its_figures_lives_and_does_not_move(
    later: dict[str, Any], moved: bool
) -> None:
    model = says(says(working(), 0), 400, **later)
    assert model.heard_at == START + timedelta(seconds=400)
    assert model.progressed_at == (model.heard_at if moved else START)
    over, effects = progress.stalled(model, START + timedelta(seconds=100), START + STALL)
    assert (over.status is ModelStatus.FAILED) is not moved
    if not moved:
        assert over.error is not None
        assert over.error.details["reason"] == "stalled"
        stop, release, failed = (effect.payload for effect in effects)
        assert isinstance(stop, rpc.CancelWork)
        assert stop.task_ids == ["task_1"]
        assert isinstance(release, rpc.ReleaseModel)
        assert isinstance(failed, events.ModelFailed)


def test_an_attempt_that_begins_again_moves_from_where_it_begins() -> None:
    model = says(says(working(), 0, progress=50), 10, progress=5)
    assert model.progressed_at == START
    assert says(model, 20, progress=6).progressed_at == START + timedelta(seconds=20)
    assert says(model, 20, progress=6).progress == 50, "what is told never goes back"


def test_work_that_nobody_has_begun_waits_and_is_not_stalled() -> None:
    later = START + timedelta(days=1)
    assert progress.stalled(working(), later, later) == (working(), ())


def test_a_retry_is_told_at_once_with_its_reason() -> None:
    report = reports.LoadProgressedReport(
        task_id="task_1", model_id="m_x", stage="resolving", progress=0, message="why", retry=1
    )
    _, (told,) = progress.progressed(says(working(), 0), report, START)
    assert isinstance(told.payload, events.ModelLoadProgress)
    assert (told.payload.message, told.payload.progress) == ("why", 10)


def test_a_pinned_model_that_failed_is_not_tried_again_at_each_start() -> None:
    failed, _ = loading.failed(working(pinned=True), "task_1", MiStudioError("no").body(), START)
    assert residency.preload(failed, "task_2", START) == (failed, ())


def test_who_unloads_a_model_that_is_out_already_unpins_it() -> None:
    out = replace(pending(), status=ModelStatus.UNLOADED, pinned=True)
    assert not residency.request_unload(out, 0, "task_1", START)[0].pinned
