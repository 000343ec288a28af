"""How long an attempt at a model spends in which stage, from the steps that it tells."""

from __future__ import annotations

import time
from collections.abc import Callable

from mistudio_contracts import LoadStage
from mistudio_loader.domain.progress import Step
from mistudio_loader.metrics import Metrics


class Timing:
    """Follows one attempt.

    Parameters
    ----------
    metrics
        Told of each stage when it ends, and of bytes as they come.
    clock
        Seconds, monotonic.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._began = self._since = clock()
        self._last: Step | None = None

    def step(self, step: Step) -> None:
        """Take a step."""
        last = self._last
        if last is None or last.stage is not step.stage:
            self._end_stage()
        elif step.stage is LoadStage.DOWNLOADING:
            # The first step of the stage counts what an earlier attempt has left.
            come = (step.done or 0) - (last.done or 0)
            self._metrics.downloaded_bytes.inc(max(0, come))
        self._last = step

    def end(self, outcome: str) -> None:
        """Take the attempt's end."""
        self._end_stage()
        self._metrics.preparations.labels(outcome).inc()
        if outcome == "prepared":
            self._metrics.prepare_seconds.observe(self._clock() - self._began)

    def _end_stage(self) -> None:
        now = self._clock()
        if self._last is not None:
            self._metrics.stage_seconds.labels(str(self._last.stage)).observe(now - self._since)
        self._since = now
