"""A model under any sequence of commands and reports keeps its promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mistudio_catalog.domain import loading, residency
from mistudio_catalog.domain.device import DeviceState
from mistudio_catalog.domain.formats import check_available
from mistudio_catalog.domain.model import ModelPhase, ModelState
from mistudio_catalog.domain.outgoing import Effects
from mistudio_contracts import events, reports, subjects
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
            if isinstance(message, events.ModelLoadProgress):
                stage = list(LoadStage).index(message.stage)
                self.told[message.task_id].append((stage, message.progress))
            if isinstance(message, events.ModelReady | events.ModelFailed):
                self.ends.setdefault(message.task_id, []).append(effect.subject.pattern)

    def stale_or_true(self, stale: bool) -> str:
        if stale or self.model.task_id is None:
            return "task_stale"
        return self.model.task_id

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

    @rule(progress=st.floats(0, 100), stage=st.sampled_from(LoadStage), stale=st.booleans())
    def progress(self, progress: float, stage: LoadStage, stale: bool) -> None:
        report = reports.LoadProgressedReport(
            task_id=self.stale_or_true(stale), model_id="m_x", stage=stage, progress=progress
        )
        self.report(loading.progressed(self.model, report, self.now), stale)

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

    @rule(reason=st.sampled_from(["lru", "requested", "shutdown"]), stale=st.booleans())
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
