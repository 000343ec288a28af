"""The plan of an extraction: tokenise what is new, cut it, and find what must be computed.

A store only grows: a request for more rows appends shards after those there are, one for fewer is
a prefix. A plan is made in parts, each from where the one before ended. The same order gives the
same part and the same token shards, byte for byte; where parts end does not decide what is cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, dropwhile

import numpy as np

from mistudio_activations import (
    Manifest,
    Place,
    StorageFull,
    StoreCorrupt,
    read_manifest,
    write_tokens,
)
from mistudio_activations import open as open_store
from mistudio_activations.errors import storage_errors
from mistudio_contracts.errors import ExtractionFailed, InvalidInput
from mistudio_contracts.reports import ExtractionPlannedReport
from mistudio_contracts.values import ColumnPlan, PlanCursor, ShardCut, Skipped
from mistudio_contracts.work import PlanExtraction
from mistudio_extractor.domain.cutting import Cut, cut
from mistudio_extractor.storage import skipped as skipped_rows
from mistudio_extractor.storage.bucket import bucket_errors
from mistudio_extractor.storage.layout import Layout
from mistudio_extractor.storage.skipped import SkippedRows

from .tokenizing import PlanStopped, Tokenizing

CUTS = 4096
"""Shards told in one part of what the store has already: some hundred kilobytes of a message."""

PART_SECONDS = 20.0
"""A part that takes longer ends at its next shard: what is cut must not wait for a slow tokenizer.
What the next part cuts again, should this one be told twice, is the same."""


class Planning:
    """Makes plans, on a thread of the caller's."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @bucket_errors()
    def plan(
        self, order: PlanExtraction, should_stop: Callable[[], bool]
    ) -> ExtractionPlannedReport | None:
        """Return a part of the plan, its token shards written; None when ``should_stop`` said so,
        and when the store was deleted meanwhile.

        Raises
        ------
        InvalidInput
            When nothing is left to capture, or as :class:`Tokenizing`.
        InsufficientStorage
            When the disk has no room for the tokens.
        ExtractionFailed
            When the store or the dataset is damaged, or the store's bucket cannot be used.
        ServiceUnavailable
            When the bucket does not answer.
        """
        try:
            with storage_errors():
                return self._plan(order, should_stop)
        except PlanStopped:
            return None
        except StorageFull as error:
            raise self._layout.full() from error
        except StoreCorrupt as error:
            raise ExtractionFailed(
                "The activation store is damaged.",
                reason="store_damaged",
                remedy="Delete the caches of this model and dataset, then ask again.",
            ) from error

    def room_bytes(self) -> int | None:
        """Return what the stores' disk takes now; None for a bucket."""
        return self._layout.store_room_bytes()

    def _plan(
        self, order: PlanExtraction, should_stop: Callable[[], bool]
    ) -> ExtractionPlannedReport:
        store = self._layout.store(order.store_key)
        manifest = read_manifest(store)
        wanted = order.sample_count or order.dataset.sample_count
        there = There.of(store, manifest, wanted)
        begin = order.begin or PlanCursor(row=0, shards=0, samples=0, tokens=0)
        cuts, end = there.part(begin, len(there.cuts) if order.most_shards is None else CUTS)
        following = end if end.shards < there.end.shards else None
        left_out = skipped_rows.load(store)
        if following is None and wanted > end.row:
            left_out = left_out.before(end.row)
            new, end, following = self._grow(order, store, end, wanted, left_out, should_stop)
            cuts = cuts + new
        counts = left_out.before(following.row if following else wanted).counts()
        if end.samples == 0:
            raise _nothing_left(counts, order)
        return ExtractionPlannedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            samples=end.samples,
            tokens=end.tokens,
            skipped=counts,
            cuts=cuts,
            columns=[_there(point, manifest) for point in order.hook_points],
            first=begin.shards,
            first_sample=begin.samples,
            next=following,
        )

    def _grow(
        self,
        order: PlanExtraction,
        store: Place,
        begin: PlanCursor,
        wanted: int,
        left_out: SkippedRows,
        should_stop: Callable[[], bool],
    ) -> tuple[list[ShardCut], PlanCursor, PlanCursor | None]:
        """Write token shards from ``begin`` on.

        Return how they are cut, where they end, and that once more where samples are left.
        """
        tokenizing = Tokenizing(self._layout.artifact(order.artifact), order.tokenization)
        samples = tokenizing.samples(
            self._layout.dataset(order.dataset), begin.row, wanted, left_out, should_stop
        )
        # Windows of the first row may lie in the shards before.
        samples = dropwhile(lambda each: (each.row, each.start) < (begin.row, begin.start), samples)
        with_starts = order.tokenization.stride is not None
        new: list[ShardCut] = []
        end, following = begin, None
        started = time.monotonic()
        for piece in cut(samples, order.shard_tokens):
            new.append(_write(store, end.shards, piece, with_starts=with_starts))
            end = PlanCursor(
                row=wanted if piece.after is None else piece.after.row,
                start=0 if piece.after is None else piece.after.start,
                shards=end.shards + 1,
                samples=end.samples + new[-1].samples,
                tokens=end.tokens + new[-1].tokens,
            )
            late = time.monotonic() - started >= PART_SECONDS
            full = order.most_shards is not None and (late or len(new) >= order.most_shards)
            if full and piece.after is not None:
                following = end
                break
        if end.shards:
            skipped_rows.save(store, left_out.before(following.row) if following else left_out)
        return new, end, following


@dataclass(frozen=True)
class There:
    """What the store has of the rows asked for: its shards, and how far they go."""

    cuts: list[ShardCut]
    end: PlanCursor

    @classmethod
    def of(cls, store: Place, manifest: Manifest | None, wanted: int) -> There:
        if manifest is None or not manifest.tokens:
            return cls([], PlanCursor(row=0, shards=0, samples=0, tokens=0))
        cuts = [ShardCut(samples=shard.samples, tokens=shard.tokens) for shard in manifest.tokens]
        opened = open_store(store)
        samples, tokens = opened.samples, opened.tokens
        after_last = int(opened.sample_ids[-1]) + 1
        rows = max(after_last, manifest.info.rows_considered or 0)
        if wanted < rows:
            rows = wanted
            samples = int(np.searchsorted(opened.sample_ids, wanted))
            tokens = int(opened.offsets[samples])
            starts = accumulate((cut.samples for cut in cuts), initial=0)
            cuts = [cut for cut, start in zip(cuts, starts, strict=False) if start < samples]
        return cls(cuts, PlanCursor(row=rows, shards=len(cuts), samples=samples, tokens=tokens))

    def part(self, begin: PlanCursor, most: int) -> tuple[list[ShardCut], PlanCursor]:
        """Return ``most`` shards from ``begin`` on, or as many as there are, and where they end."""
        told = self.cuts[begin.shards : begin.shards + most]
        shards = begin.shards + len(told)
        if not told:
            return [], begin
        if shards == self.end.shards:
            return told, self.end
        so_far = PlanCursor(
            row=self.end.row * shards // self.end.shards,
            shards=shards,
            samples=begin.samples + sum(cut.samples for cut in told),
            tokens=begin.tokens + sum(cut.tokens for cut in told),
        )
        return told, so_far


def _write(store: Place, index: int, piece: Cut, *, with_starts: bool) -> ShardCut:
    samples = piece.samples
    offsets = np.cumsum([0, *(len(sample.ids) for sample in samples)], dtype=np.int64)
    ids = np.concatenate([sample.ids for sample in samples])
    rows = np.array([sample.row for sample in samples], np.int64)
    starts = np.array([sample.start for sample in samples], np.int64) if with_starts else None
    try:
        write_tokens(store, index, ids, offsets, rows, starts)
    except FileNotFoundError:
        # The store is being deleted, which is done to one that nobody works on: the order is void,
        # or comes again.
        raise PlanStopped from None
    return ShardCut(samples=len(samples), tokens=int(ids.size))


def _there(point: str, manifest: Manifest | None) -> ColumnPlan:
    known = manifest.columns if manifest else {}
    shards = len(known[point].shards) if point in known else 0
    return ColumnPlan(hook_point=point, shards_there=shards)


def _nothing_left(counts: Skipped, order: PlanExtraction) -> InvalidInput:
    length = order.tokenization.max_length
    limit = f"{length} tokens" if length else "the model's context"
    return InvalidInput(
        f"No sample is left after tokenisation: {counts.empty} are empty, {counts.too_long} are "
        f"longer than {limit}.",
        field="tokenization",
        reason="no_samples",
        empty=counts.empty,
        too_long=counts.too_long,
        remedy="Ask for truncate=true or a larger max_length, or choose another column.",
    )
