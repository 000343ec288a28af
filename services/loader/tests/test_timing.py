"""How long which stage took, and what came from the hub, is read off the steps that are told."""

from __future__ import annotations

from mistudio_contracts import LoadStage
from mistudio_loader.domain.progress import Step
from mistudio_loader.metrics import Metrics
from mistudio_loader.services.timing import Timing
from mistudio_servicekit.metering import Meters


def test_stages_and_bytes_of_an_attempt() -> None:
    meters, now = Meters(), 0.0
    timing = Timing(Metrics(meters), clock=lambda: now)
    for seconds, stage, done in (
        (0.0, LoadStage.RESOLVING, None),
        (2.0, LoadStage.DOWNLOADING, 300),
        (5.0, LoadStage.DOWNLOADING, 700),
        (9.0, LoadStage.DOWNLOADING, 1000),
        (12.0, LoadStage.VERIFYING, 1000),
    ):
        now = seconds
        timing.step(Step(stage, done=done, total=1000))
    now = 13.0
    timing.end("prepared")

    def seconds_in(stage: str) -> float | None:
        labels = {"stage": stage}
        return meters.registry.get_sample_value("mistudio_loader_stage_seconds_sum", labels)

    get = meters.registry.get_sample_value
    assert (seconds_in("resolving"), seconds_in("downloading"), seconds_in("verifying")) == (
        2.0,
        10.0,
        1.0,
    )
    assert seconds_in("quantizing") == 0.0
    assert get("mistudio_loader_downloaded_bytes_total") == 700, "300 were there before"
    assert get("mistudio_loader_prepare_seconds_sum") == 13.0
    assert get("mistudio_loader_preparations_total", {"outcome": "prepared"}) == 1


def test_an_attempt_that_failed_is_counted_and_not_among_those_that_took_their_time() -> None:
    meters = Meters()
    timing = Timing(Metrics(meters))
    timing.step(Step(LoadStage.RESOLVING))
    timing.end("failed")
    get = meters.registry.get_sample_value
    assert get("mistudio_loader_preparations_total", {"outcome": "failed"}) == 1
    assert get("mistudio_loader_stage_seconds_count", {"stage": "resolving"}) == 1
    assert get("mistudio_loader_prepare_seconds_count") == 0
