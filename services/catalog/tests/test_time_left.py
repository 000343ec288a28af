"""The time left that is told comes true within a fifth, from a tenth of the way on."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from mistudio_catalog.domain import extracting
from mistudio_catalog.domain.extraction import (
    ExtractionState,
    Live,
    ShardState,
    ShardStatus,
    shards_of,
)
from mistudio_contracts import reports
from mistudio_contracts.values import ColumnPlan, ShardCut

from .test_extraction_states import ARTIFACT, DATASET, START, waiting

WITHIN, FROM = 0.2, 10.0
SHALLOW, DEEP = "layers.0.resid_post", "layers.7.resid_post"
NO_PACE_YET = 5.0
"""Seconds."""

LAST_ROUNDS = 3

TOKENS = 4000
"""Of a shard, about."""


def cuts_of(lengths: Sequence[int]) -> list[ShardCut]:
    """Cut samples of these lengths as a plan does."""
    found: list[ShardCut] = []
    samples = tokens = 0
    for length in [*lengths, TOKENS]:
        if samples and tokens + length > TOKENS:
            found.append(ShardCut(samples=samples, tokens=tokens))
            samples = tokens = 0
        samples, tokens = samples + 1, tokens + length
    return found


class Run:
    """Devices that take shards in order, each at a pace of its own, and tell once a second."""

    def __init__(self, cuts: list[ShardCut], there: int, speeds: list[float], warm_up: float):
        report = reports.ExtractionPlannedReport(
            task_id="task_1",
            extraction_id="ext_x",
            samples=sum(cut.samples for cut in cuts),
            tokens=sum(cut.tokens for cut in cuts),
            cuts=cuts,
            columns=[
                ColumnPlan(hook_point=SHALLOW, shards_there=0),
                ColumnPlan(hook_point=DEEP, shards_there=there),
            ],
        )
        self.shards = shards_of(report.shards)
        state, _ = extracting.begin(waiting(), ARTIFACT, DATASET, "c" * 32, "task_1", 100, START)
        self.state, _ = extracting.planned(state, report, self.shards, START)
        self.told: list[tuple[float, float, float | None, int]] = []
        self._schedule(speeds, warm_up)

    def _schedule(self, speeds: list[float], warm_up: float) -> None:
        """Work out when each shard begins and ends, and on which device."""
        self.spans: list[tuple[float, float]] = []
        free = [(warm_up, index) for index in range(len(speeds))]
        heapq.heapify(free)
        for shard in self.shards:
            begins, device = heapq.heappop(free)
            ends = begins + shard.work / speeds[device]
            self.spans.append((begins, ends))
            heapq.heappush(free, (ends, device))
        self.ends = max(end for _, end in self.spans)

    def _live(self, now: float) -> list[ShardState]:
        found = []
        for shard, (begins, ends) in zip(self.shards, self.spans, strict=True):
            if shard.status is not ShardStatus.CAPTURED and begins < now < ends:
                share = (now - begins) / (ends - begins)
                found.append(replace(shard, samples_done=int(shard.samples * share)))
        return found

    def play(self) -> ExtractionState:
        """Tell everything in order; keep progress, true and told time left."""
        moments = sorted({*(end for _, end in self.spans), *range(1, int(self.ends) + 1)})
        for now in moments:
            at = START + timedelta(seconds=now)
            for index, (_, ends) in enumerate(self.spans):
                shard = self.shards[index]
                if ends <= now and shard.status is not ShardStatus.CAPTURED:
                    live = self._sum(now)
                    self.state, _ = extracting.captured(self.state, shard, live, at)
                    self.shards[index] = replace(shard, status=ShardStatus.CAPTURED)
            self.state, _ = extracting.progressed(self.state, self._sum(now), at)
            left = self.state.shards_total - self.state.shards_completed
            told = (self.state.progress, self.ends - now, self.state.seconds_left, left)
            self.told.append(told)
        return self.state

    def _sum(self, now: float) -> Live:
        live = self._live(now)
        return Live(
            sum(shard.samples_done for shard in live),
            sum(shard.work * shard.samples_done // shard.samples for shard in live),
        )


def lengths(kind: str, count: int = 8000) -> list[int]:
    chance = random.Random(7)
    found = [min(400, max(2, int(chance.lognormvariate(3.5, 1.0)))) for _ in range(count)]
    return {"mixed": found, "short first": sorted(found), "long first": sorted(found)[::-1]}[kind]


@pytest.mark.parametrize("kind", ["mixed", "short first", "long first"])
@pytest.mark.parametrize("speeds", [[8000.0], [8000.0, 8000.0], [7000.0, 12000.0, 9000.0]])
@pytest.mark.parametrize(("there", "warm_up"), [(0, 30.0), (40, 0.0)])
def test_what_is_told_comes_true_within_a_fifth(
    kind: str, speeds: list[float], there: int, warm_up: float
) -> None:
    run = Run(cuts_of(lengths(kind)), there, speeds, warm_up)
    assert run.play().seconds_left in (0, pytest.approx(0, abs=1e-6))
    checked = 0
    for progress, true, told, shards in run.told:
        began = run.ends - true - warm_up
        # In the last rounds some of several devices rest, and the pace is of all of them.
        last_rounds = len(speeds) > 1 and shards <= LAST_ROUNDS * len(speeds)
        if progress >= FROM and began > NO_PACE_YET and not last_rounds and true > 1:
            assert told is not None
            assert abs(told - true) <= WITHIN * true, (progress, true, told)
            checked += 1
    assert checked > 20
