"""The work orders of an extraction, complete from its row and its shards alone."""

from __future__ import annotations

from collections.abc import Sequence

from mistudio_contracts import subjects, work
from mistudio_contracts.values import ResidencyWish

from .extraction import ExtractionState, ShardState
from .outgoing import Effects, Outgoing

FIRST_SHARDS = 4
"""Shards of a plan's first part."""

MOST_SHARDS = 64
"""Shards of a part at most; what a worker that dies has to cut again."""


LIVE_EACH_SECOND = 20.0
"""Live messages of shards that the catalog takes each second, however many devices tell them."""


def plan_order(extraction: ExtractionState, shard_tokens: int) -> Effects:
    """Return the order to tokenise and cut, of the part that comes next.

    The first parts are small, so that capturing begins soon; each doubles what there is.
    """
    if (
        extraction.task_id is None
        or extraction.artifact is None
        or extraction.dataset is None
        or extraction.store_key is None
    ):
        return ()
    plan = work.PlanExtraction(
        task_id=extraction.task_id,
        extraction_id=extraction.id,
        model_id=extraction.model_id,
        artifact=extraction.artifact,
        dataset=extraction.dataset,
        tokenization=extraction.tokenization,
        sample_count=extraction.rows_considered,
        hook_points=list(extraction.hook_points),
        dtype=extraction.dtype,
        store_key=extraction.store_key,
        shard_tokens=shard_tokens,
        begin=extraction.plan_from,
        most_shards=min(max(extraction.shards_total, FIRST_SHARDS), MOST_SHARDS),
    )
    return (Outgoing(subjects.WORK_PLAN, plan, extraction.id, extraction.pool),)


def shard_orders(
    extraction: ExtractionState, wish: ResidencyWish, shards: Sequence[ShardState], devices: int
) -> Effects:
    """Return the orders to capture ``shards`` with a model that is kept as ``wish`` says.

    So many ``devices`` may be at work at once, each on one of them.
    """
    if extraction.task_id is None or extraction.artifact is None or extraction.store_key is None:
        return ()
    return tuple(
        Outgoing(
            subjects.WORK_SHARD,
            work.CaptureShard(
                task_id=extraction.task_id,
                extraction_id=extraction.id,
                model_id=extraction.model_id,
                artifact=extraction.artifact,
                wish=wish,
                dtype=extraction.dtype,
                store_key=extraction.store_key,
                batch_size=extraction.batch_size,
                shard=shard.plan,
                tell_every_seconds=devices / LIVE_EACH_SECOND,
            ),
            extraction.id,
            extraction.pool,
        )
        for shard in shards
    )


def commit_order(extraction: ExtractionState) -> Effects:
    """Return the order to make the captured columns visible."""
    if (
        extraction.task_id is None
        or extraction.artifact is None
        or extraction.dataset is None
        or extraction.store_key is None
        or extraction.total_samples is None
        or extraction.total_tokens is None
    ):
        return ()
    message = work.CommitExtraction(
        task_id=extraction.task_id,
        extraction_id=extraction.id,
        model_id=extraction.model_id,
        artifact=extraction.artifact,
        dataset=extraction.dataset,
        tokenization=extraction.tokenization,
        dtype=extraction.dtype,
        store_key=extraction.store_key,
        hook_points=list(extraction.hook_points),
        samples=extraction.total_samples,
        tokens=extraction.total_tokens,
        skipped=extraction.skipped,
        shards=extraction.shards_total,
        rows_considered=extraction.rows_considered,
    )
    return (Outgoing(subjects.WORK_COMMIT, message, extraction.id, extraction.pool),)
