"""The ways of an extraction between its states, and what each sends.

Every function takes the present state and returns the next with its messages. What reports of a
task that the extraction no longer names, or that it has had already, changes and sends nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mistudio_contracts import events, reports, subjects
from mistudio_contracts.states import ExtractionStatus
from mistudio_contracts.values import Artifact, DatasetRef

from .extraction import ExtractionPhase, ExtractionState, Live, ShardState, ShardStatus
from .orders import commit_order, plan_order
from .outgoing import Effects, Outgoing

Step = tuple[ExtractionState, Effects]

BEFORE_COMPLETION = 99.0
"""The most that progress shows before the cache is there."""

_TELL_POINTS = 5.0
_TELL_SECONDS = 2.0

SHARD_EVENTS = 1000
"""Shards of one extraction whose completion is an event, at most; of more every n-th is."""


def queued(extraction: ExtractionState, now: datetime) -> Effects:
    """Return what the acceptance of an extraction sends."""
    event = events.ExtractionQueued(
        extraction_id=extraction.id,
        model_id=extraction.model_id,
        status=ExtractionStatus.QUEUED,
        dataset_id=extraction.dataset_id,
        hook_points=list(extraction.hook_points),
        timestamp=now,
    )
    return (Outgoing(subjects.EXTRACTION_QUEUED, event, extraction.id),)


def begin(
    extraction: ExtractionState,
    artifact: Artifact,
    dataset: DatasetRef,
    store_key: str,
    task_id: str,
    shard_tokens: int,
    now: datetime,
) -> Step:
    """Model and store are free: order the plan."""
    if extraction.phase is not ExtractionPhase.WAITING:
        return extraction, ()
    planning = replace(
        extraction,
        phase=ExtractionPhase.PLANNING,
        plan_ordered=True,
        task_id=task_id,
        artifact=artifact,
        dataset=dataset,
        store_key=store_key,
        started_at=now,
        heard_at=now,
        updated_at=now,
    )
    return planning, plan_order(planning, shard_tokens)


def planned(
    extraction: ExtractionState,
    report: reports.ExtractionPlannedReport,
    shards: Sequence[ShardState],
    now: datetime,
) -> Step:
    """A part of the samples is cut; shards that the store has already count as done.

    A part is taken once, after the one before it.
    """
    expected = extraction.plan_ordered and extraction.shards_total == report.first
    if not expected or extraction.task_id != report.task_id or extraction.status.terminal:
        return extraction, ()
    there = [shard for shard in shards if shard.status is ShardStatus.CAPTURED]
    samples = sum(shard.samples for shard in there)
    capturing = replace(
        extraction,
        status=ExtractionStatus.EXTRACTING,
        phase=ExtractionPhase.CAPTURING,
        plan_from=report.next,
        plan_ordered=False,
        total_samples=report.samples,
        total_tokens=report.tokens,
        skipped=report.skipped,
        shards_total=extraction.shards_total + len(shards),
        shards_completed=extraction.shards_completed + len(there),
        shards_computed=extraction.shards_computed + len(shards) - len(there),
        samples_captured=extraction.samples_captured + samples,
        work_total=extraction.work_total + sum(shard.work for shard in shards),
        heard_at=now,
        updated_at=now,
    )
    return _tell(_counted(capturing, Live()), now)


def plan_on(extraction: ExtractionState, ahead: int, shard_tokens: int) -> Step:
    """Order the next part of a plan, unless ``ahead`` shards that are cut wait for their capture.

    Tokens of shards that are captured much later would only fill the disk.
    """
    waiting = extraction.shards_total - extraction.shards_completed
    capturing = extraction.phase is ExtractionPhase.CAPTURING
    if not capturing or extraction.plan_from is None or extraction.plan_ordered or waiting >= ahead:
        return extraction, ()
    ordered = replace(extraction, plan_ordered=True)
    return ordered, plan_order(ordered, shard_tokens)


def progressed(extraction: ExtractionState, live: Live, now: datetime) -> Step:
    """Count what is done of shards under way; told at every 5 % or 2 s, never backwards."""
    if extraction.phase is not ExtractionPhase.CAPTURING:
        return extraction, ()
    return _tell_if_due(_counted(replace(extraction, heard_at=now), live), now)


def captured(extraction: ExtractionState, shard: ShardState, live: Live, now: datetime) -> Step:
    """A shard's files are written; ``live`` is what is done of the others under way.

    However many shards there are, what is told of them stays few: live progress as by
    :func:`progressed`, and about :data:`SHARD_EVENTS` events, the last shard's among them.
    """
    if extraction.phase is not ExtractionPhase.CAPTURING or shard.status is ShardStatus.CAPTURED:
        return extraction, ()
    grown = replace(
        extraction,
        shards_completed=extraction.shards_completed + 1,
        samples_captured=extraction.samples_captured + shard.samples,
        work_captured=extraction.work_captured + shard.work,
        heard_at=now,
        updated_at=now,
    )
    last, counted = grown.all_captured, _counted(grown, live)
    told, progress = _tell(counted, now) if last else _tell_if_due(counted, now)
    if not last and told.shards_completed % math.ceil(told.shards_total / SHARD_EVENTS):
        return told, progress
    event = events.ExtractionShardCompleted(
        extraction_id=extraction.id,
        model_id=extraction.model_id,
        status=ExtractionStatus.EXTRACTING,
        shard_index=shard.index,
        shards_completed=told.shards_completed,
        shards_total=told.shards_total,
        timestamp=now,
    )
    return told, (Outgoing(subjects.EXTRACTION_SHARD_COMPLETED, event, extraction.id), *progress)


def _counted(extraction: ExtractionState, live: Live) -> ExtractionState:
    total = extraction.total_samples or 1
    done = min(extraction.samples_captured + live.samples, total)
    processed = max(done, extraction.samples_processed)
    work = max(extraction.work_captured + live.work, extraction.work_processed)
    # Of rows that are not planned yet nothing is done.
    percent = min(100.0 * extraction.planned_share * processed / total, BEFORE_COMPLETION)
    counted = replace(
        extraction,
        samples_processed=processed,
        work_processed=work,
        progress=max(extraction.progress, percent),
    )
    # What the cache had took no work: the first of it begins the pace.
    if extraction.paced_at is None and work > 0:
        return replace(counted, paced_at=counted.heard_at, paced_work=work)
    return counted


def _tell_if_due(extraction: ExtractionState, now: datetime) -> Step:
    gained = extraction.progress - extraction.told_progress
    silent = (
        extraction.told_at is None or (now - extraction.told_at).total_seconds() >= _TELL_SECONDS
    )
    if gained >= _TELL_POINTS or (silent and gained > 0):
        return _tell(extraction, now)
    return extraction, ()


def _tell(extraction: ExtractionState, now: datetime) -> Step:
    told = replace(extraction, told_progress=extraction.progress, told_at=now, updated_at=now)
    event = events.ExtractionProgress(
        extraction_id=told.id,
        model_id=told.model_id,
        status=told.status,
        progress=told.progress,
        samples_processed=told.samples_processed,
        total_samples=told.counted_samples or 0,
        seconds_left=told.seconds_left,
        timestamp=now,
    )
    return told, (Outgoing(subjects.EXTRACTION_PROGRESS, event, told.id),)


def commit(extraction: ExtractionState, now: datetime) -> Step:
    """Every shard is captured: order the commit. Before that, nothing happens."""
    capturing = extraction.phase is ExtractionPhase.CAPTURING
    if not capturing or not extraction.all_captured:
        return extraction, ()
    committing = replace(extraction, phase=ExtractionPhase.COMMITTING, heard_at=now, updated_at=now)
    return committing, commit_order(committing)
