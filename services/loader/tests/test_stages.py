"""The stages of a preparation as spans."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from mistudio_contracts import LoadStage
from mistudio_contracts.errors import ModelLoadFailed
from mistudio_loader.domain.progress import Step
from mistudio_loader.services.stages import Stages
from mistudio_servicekit.telemetry import tracer_provider


def present() -> ReadableSpan:
    found = trace.get_current_span()
    assert isinstance(found, ReadableSpan)
    return found


def test_each_stage_is_a_span_until_the_next_begins() -> None:
    tracer_provider("loader")
    with Stages() as stages:
        stages.step(Step(LoadStage.DOWNLOADING, done=0, total=10))
        first = present()
        stages.step(Step(LoadStage.DOWNLOADING, done=10, total=10))
        assert present() is first
        stages.step(Step(LoadStage.VERIFYING))
        second = present()
    assert [first.name, second.name] == ["downloading", "verifying"]
    assert first.end_time is not None
    assert second.end_time is not None
    assert first.parent == second.parent
    assert first.status.is_ok
    assert second.status.is_ok


def test_the_stage_in_which_the_child_died_has_failed() -> None:
    tracer_provider("loader")
    died = ModelLoadFailed("It was ended from outside.", transient=True, reason="child_died")
    at: list[ReadableSpan] = []

    def prepare() -> None:
        with Stages() as stages:
            stages.step(Step(LoadStage.QUANTIZING))
            at.append(present())
            raise died

    with pytest.raises(ModelLoadFailed):
        prepare()
    assert at[0].attributes == {"mistudio.reason": "child_died", "error.type": "MODEL_LOAD_FAILED"}
    assert at[0].status.description == died.message
