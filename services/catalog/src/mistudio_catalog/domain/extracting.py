"""The ways of an extraction between its states, and what each sends.

Every function takes the present state and returns the next with its messages. What reports of a
task that the extraction no longer names, or that it has had already, changes and sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mistudio_contracts import events, reports, subjects
from mistudio_contracts.states import ExtractionStatus
from mistudio_contracts.values import Artifact, DatasetRef

from .extraction import ExtractionPhase, ExtractionState, ShardState, ShardStatus
from .orders import commit_order, plan_order
from .outgoing import Effects, Outgoing

Step = tuple[ExtractionState, Effects]

BEFORE_COMPLETION = 99.0
"""The most that progress shows before the cache is there."""

_TELL_POINTS = 5.0
_TELL_SECONDS = 2.0


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
    """The samples are cut; shards that the store has already count as done."""
    if extraction.phase is not ExtractionPhase.PLANNING or extraction.task_id != report.task_id:
        return extraction, ()
    there = [shard for shard in shards if shard.status is ShardStatus.CAPTURED]
    samples = sum(shard.samples for shard in there)
    capturing = replace(
        extraction,
        status=ExtractionStatus.EXTRACTING,
        phase=ExtractionPhase.CAPTURING,
        total_samples=report.samples,
        total_tokens=report.tokens,
        skipped=report.skipped,
        shards_total=len(shards),
        shards_completed=len(there),
        shards_computed=len(shards) - len(there),
        samples_captured=samples,
        heard_at=now,
        updated_at=now,
    )
    return _tell(_counted(capturing, 0), now)


def progressed(extraction: ExtractionState, live_samples: int, now: datetime) -> Step:
    """Count ``live_samples`` of shards under way; told at every 5 % or 2 s, never backwards."""
    if extraction.phase is not ExtractionPhase.CAPTURING:
        return extraction, ()
    counted = _counted(replace(extraction, heard_at=now), live_samples)
    gained = counted.progress - extraction.told_progress
    silent = (
        extraction.told_at is None or (now - extraction.told_at).total_seconds() >= _TELL_SECONDS
    )
    if gained >= _TELL_POINTS or (silent and gained > 0):
        return _tell(counted, now)
    return counted, ()


def captured(
    extraction: ExtractionState, shard: ShardState, live_samples: int, now: datetime
) -> Step:
    """A shard's files are written; ``live_samples`` counts the others under way."""
    if extraction.phase is not ExtractionPhase.CAPTURING or shard.status is ShardStatus.CAPTURED:
        return extraction, ()
    grown = replace(
        extraction,
        shards_completed=extraction.shards_completed + 1,
        samples_captured=extraction.samples_captured + shard.samples,
        heard_at=now,
        updated_at=now,
    )
    told, progress = _tell(_counted(grown, live_samples), now)
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


def _counted(extraction: ExtractionState, live_samples: int) -> ExtractionState:
    total = extraction.total_samples or 1
    done = min(extraction.samples_captured + live_samples, total)
    processed = max(done, extraction.samples_processed)
    percent = min(100.0 * processed / total, BEFORE_COMPLETION)
    counted = replace(
        extraction,
        samples_processed=processed,
        progress=max(extraction.progress, percent),
    )
    # What the cache had came at no pace at all: the first samples after it begin one.
    begun = processed > extraction.samples_processed and extraction.told_at is not None
    if extraction.paced_at is None and begun:
        return replace(counted, paced_at=counted.heard_at, paced_samples=processed)
    return counted


def _tell(extraction: ExtractionState, now: datetime) -> Step:
    told = replace(extraction, told_progress=extraction.progress, told_at=now, updated_at=now)
    event = events.ExtractionProgress(
        extraction_id=told.id,
        model_id=told.model_id,
        status=told.status,
        progress=told.progress,
        samples_processed=told.samples_processed,
        total_samples=told.total_samples or 0,
        seconds_left=told.seconds_left,
        timestamp=now,
    )
    return told, (Outgoing(subjects.EXTRACTION_PROGRESS, event, told.id),)


def commit(extraction: ExtractionState, now: datetime) -> Step:
    """Every shard is captured: order the commit. Before that, nothing happens."""
    capturing = extraction.phase is ExtractionPhase.CAPTURING
    if not capturing or extraction.shards_completed < extraction.shards_total:
        return extraction, ()
    committing = replace(extraction, phase=ExtractionPhase.COMMITTING, heard_at=now, updated_at=now)
    return committing, commit_order(committing)
