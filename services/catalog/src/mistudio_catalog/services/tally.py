"""Counts how loads and extractions end, from what committed: whoever ended them."""

from __future__ import annotations

from mistudio_catalog.domain.changes import Changes
from mistudio_catalog.domain.extraction import ExtractionPhase, ExtractionState
from mistudio_catalog.domain.model import ModelPhase, ModelState
from mistudio_catalog.metrics import CANCELLED, FAILED, READY, WAITING, Metrics, family_of
from mistudio_contracts.states import ExtractionStatus, LoadStage, ModelStatus

_OUTCOMES = {ModelStatus.READY: READY, ModelStatus.FAILED: FAILED}


class Tally:
    """Keeps the catalog's counters.

    Parameters
    ----------
    metrics
        The counters.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def committed(self, changes: Changes) -> None:
        """Count what a transaction changed."""
        self._metrics.saved_bytes.inc(changes.saved_bytes)
        for change in changes.made:
            before, after = change.before, change.after
            if isinstance(before, ModelState) and before.status is ModelStatus.LOADING:
                self._load(before, after if isinstance(after, ModelState) else None)
            if isinstance(after, ExtractionState) and after.status.terminal:
                self._extraction(before, after)

    def _load(self, before: ModelState, after: ModelState | None) -> None:
        # Called off, it rests where it was before; deleted, nowhere.
        outcome = CANCELLED if after is None else _OUTCOMES.get(after.status, CANCELLED)
        waits = before.phase is ModelPhase.WAITING
        stage = WAITING if waits else str(before.stage or LoadStage.RESOLVING)
        if outcome == READY:
            stage = str(LoadStage.PLACING)
        self._metrics.loads.labels(outcome, stage, family_of(before.model_type)).inc()
        if after is not None and outcome == READY:
            self._metrics.load_seconds.observe(after.load_time_seconds or 0.0)

    def _extraction(self, before: object, after: ExtractionState) -> None:
        self._metrics.extractions.labels(str(after.status)).inc()
        if after.status is not ExtractionStatus.COMPLETED:
            return
        self._metrics.cache_answers.labels("hit" if after.cached else "miss").inc()
        if not after.cached:
            self._metrics.extraction_seconds.observe(after.extraction_time_seconds or 0.0)
        elif isinstance(before, ExtractionState) and before.phase is ExtractionPhase.WAITING:
            # Of one that was planned, the plan has told what was there.
            self._metrics.saved_bytes.inc(after.file_size_bytes or 0)
