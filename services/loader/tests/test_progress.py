"""Progress: where a load stands, and when that is told."""

from __future__ import annotations

import asyncio

import pytest

from mistudio_contracts import LoadStage
from mistudio_contracts.reports import LoadProgressedReport
from mistudio_loader.domain.progress import Pace, Rate, Step, seconds_left, told_speed
from mistudio_loader.services.reporting import LiveProgress
from mistudio_testkit.cancelling import Stubborn


@pytest.mark.parametrize(
    ("step", "overall"),
    [
        (Step(LoadStage.RESOLVING), 0.0),
        (Step(LoadStage.DOWNLOADING, done=0, total=10), 5.0),
        (Step(LoadStage.DOWNLOADING, done=5, total=10), 32.5),
        (Step(LoadStage.DOWNLOADING, done=11, total=10), 60.0),
        (Step(LoadStage.VERIFYING, done=5, total=10), 65.0),
        (Step(LoadStage.QUANTIZING, done=10, total=10), 85.0),
        (Step(LoadStage.QUANTIZING, done=0, total=0), 70.0),
    ],
)
def test_each_stage_has_its_part_of_the_load(step: Step, overall: float) -> None:
    assert step.overall == pytest.approx(overall)


def test_stages_are_told_at_once_and_percents_at_most_five_times_a_second() -> None:
    pace = Pace()
    steps = [(n / 100, Step(LoadStage.DOWNLOADING, done=n, total=100)) for n in range(101)]
    told = [now for now, step in steps if pace.due(step, now)]
    assert told[0] == 0.0
    assert len(told) <= 6
    assert pace.due(Step(LoadStage.VERIFYING), 1.001)


def test_less_than_a_percent_waits_for_the_heartbeat() -> None:
    pace = Pace()
    assert pace.due(Step(LoadStage.DOWNLOADING, done=0, total=1000), 0.0)
    assert not pace.due(Step(LoadStage.DOWNLOADING, done=9, total=1000), 1.0)
    assert pace.due(Step(LoadStage.DOWNLOADING, done=9, total=1000), 2.0)


def test_the_rate_is_of_the_last_seconds() -> None:
    rate = Rate(window=5.0)
    assert rate.add(0.0, 0) is None
    assert rate.add(1.0, 100) == 100.0
    for second in range(2, 12):
        found = rate.add(float(second), 100 + 10 * (second - 1))
    assert found == pytest.approx(10.0)


async def test_reports_never_go_back_and_carry_bytes_and_speed() -> None:
    now = 0.0
    sent: list[LoadProgressedReport] = []

    async def send(report: LoadProgressedReport) -> None:
        sent.append(report)

    live = LiveProgress("task_1", "m_1", send, clock=lambda: now)
    for second, done in enumerate((0, 500, 100, 1000)):
        now = float(second)
        await live.step(Step(LoadStage.DOWNLOADING, "On it.", done, 1000))
    assert [r.progress for r in sent] == [5.0, 32.5, 32.5, 60.0]
    assert [r.bytes_done for r in sent] == [0, 500, 100, 1000]
    assert sent[1].bytes_per_second == 500.0
    assert sent[1].seconds_left == 1.0
    assert sent[1].message == "On it: 0.0 MB/s, 1 s left."
    assert sent[-1].seconds_left == 0.0
    assert sent[0].seconds_left is None


def test_speed_and_time_left_are_told_in_words() -> None:
    told = told_speed("Downloading the weights.", 12_340_000, 75.2)
    assert told == "Downloading the weights: 12.3 MB/s, 1 min 15 s left."
    assert seconds_left(Step(LoadStage.DOWNLOADING, done=0, total=10), 0.0) is None


async def test_a_silent_step_is_repeated_until_the_work_ends() -> None:
    sent = asyncio.Event()
    count = 0

    async def send(report: LoadProgressedReport) -> None:
        nonlocal count
        count += 1
        if count == 3:
            sent.set()

    live = LiveProgress("task_1", "m_1", send, pace=Pace(interval=0.0, heartbeat=0.0))
    async with live.beating():
        await live.step(Step(LoadStage.RESOLVING))
        await asyncio.wait_for(sent.wait(), 60)
    told = count
    await asyncio.sleep(0)
    assert count == told


async def test_a_lost_cancellation_does_not_hold_up_the_end() -> None:
    stubborn = Stubborn()

    async def send(report: LoadProgressedReport) -> None:
        await stubborn.wait()

    live = LiveProgress("task_1", "m_1", send, pace=Pace(heartbeat=0.0))
    live._last = Step(LoadStage.RESOLVING)
    async with live.beating():
        await asyncio.wait_for(stubborn.begun.wait(), 60)
