"""The plan of an extraction: tokenise what is new, cut it, and find what must be computed.

A store only grows: a request for more rows appends shards after those there are, one for fewer is
a prefix. The same order gives the same plan and the same token shards, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np

from mistudio_activations import Manifest, StorageFull, StoreCorrupt, read_manifest, write_tokens
from mistudio_activations import open as open_store
from mistudio_activations.errors import storage_errors
from mistudio_contracts.errors import ExtractionFailed, InvalidInput
from mistudio_contracts.reports import ExtractionPlannedReport
from mistudio_contracts.values import ColumnPlan, ShardCut, Skipped
from mistudio_contracts.work import PlanExtraction
from mistudio_extractor.domain.cutting import Cut, cut
from mistudio_extractor.storage import skipped as skipped_rows
from mistudio_extractor.storage.layout import Layout, storage_full
from mistudio_extractor.storage.skipped import SkippedRows

from .tokenizing import PlanStopped, Tokenizing

ROWS_CONSIDERED = "rows_considered"
"""In the manifest's info: how many dataset rows the visible token shards have used up."""


class Planning:
    """Makes plans, on a thread of the caller's."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def plan(
        self, order: PlanExtraction, should_stop: Callable[[], bool]
    ) -> ExtractionPlannedReport | None:
        """Return the plan, its token shards written; None when ``should_stop`` said so.

        Raises
        ------
        InvalidInput
            When nothing is left to capture, or as :class:`Tokenizing`.
        InsufficientStorage
            When the disk has no room for the tokens.
        ExtractionFailed
            When the store or the dataset is damaged.
        """
        try:
            with storage_errors():
                return self._plan(order, should_stop)
        except PlanStopped:
            return None
        except StorageFull as error:
            raise storage_full(None, self._layout.free_bytes()) from error
        except StoreCorrupt as error:
            raise ExtractionFailed(
                "The activation store is damaged.",
                reason="store_damaged",
                remedy="Delete the caches of this model and dataset, then ask again.",
            ) from error

    def _plan(
        self, order: PlanExtraction, should_stop: Callable[[], bool]
    ) -> ExtractionPlannedReport:
        store = self._layout.store(order.store_key)
        manifest = read_manifest(store)
        done_rows, cuts = _committed(store, manifest)
        wanted = order.sample_count or order.dataset.sample_count
        left_out = skipped_rows.load(store).before(done_rows)
        if wanted > done_rows:
            cuts += self._grow(order, store, len(cuts), done_rows, wanted, left_out, should_stop)
            samples, tokens = sum(c.samples for c in cuts), sum(c.tokens for c in cuts)
        else:
            samples, tokens = _prefix(store, wanted)
            starts = accumulate((cut.samples for cut in cuts), initial=0)
            cuts = [cut for cut, start in zip(cuts, starts, strict=False) if start < samples]
        counts = left_out.before(wanted).counts()
        if samples == 0:
            raise _nothing_left(counts, order)
        return ExtractionPlannedReport(
            task_id=order.task_id,
            extraction_id=order.extraction_id,
            samples=samples,
            tokens=tokens,
            skipped=counts,
            cuts=cuts,
            columns=[_there(point, manifest) for point in order.hook_points],
        )

    def _grow(
        self,
        order: PlanExtraction,
        store: Path,
        shards_there: int,
        done_rows: int,
        wanted: int,
        left_out: SkippedRows,
        should_stop: Callable[[], bool],
    ) -> list[ShardCut]:
        """Write token shards of the rows after those done; return how they are cut."""
        tokenizing = Tokenizing(self._layout.artifact(order.artifact), order.tokenization)
        samples = tokenizing.samples(
            self._layout.dataset(order.dataset), done_rows, wanted, left_out, should_stop
        )
        pieces = enumerate(cut(samples, order.shard_tokens), shards_there)
        cut_up = order.tokenization.stride is not None
        new = [_write(store, index, piece, with_starts=cut_up) for index, piece in pieces]
        if shards_there or new:
            skipped_rows.save(store, left_out)
        return new


def _committed(store: Path, manifest: Manifest | None) -> tuple[int, list[ShardCut]]:
    """Return how many dataset rows the visible shards have used up, and how they are cut."""
    if manifest is None or not manifest.tokens:
        return 0, []
    cuts = [ShardCut(samples=shard.samples, tokens=shard.tokens) for shard in manifest.tokens]
    after_last = int(open_store(store).sample_ids[-1]) + 1
    return max(after_last, int(manifest.info.get(ROWS_CONSIDERED, 0))), cuts


def _write(store: Path, index: int, piece: Cut, *, with_starts: bool) -> ShardCut:
    samples = piece.samples
    offsets = np.cumsum([0, *(len(sample.ids) for sample in samples)], dtype=np.int64)
    ids = np.concatenate([sample.ids for sample in samples])
    rows = np.array([sample.row for sample in samples], np.int64)
    starts = np.array([sample.start for sample in samples], np.int64) if with_starts else None
    write_tokens(store, index, ids, offsets, rows, starts)
    return ShardCut(samples=len(samples), tokens=int(ids.size))


def _prefix(store: Path, wanted: int) -> tuple[int, int]:
    opened = open_store(store)
    samples = int(np.searchsorted(opened.sample_ids, wanted))
    return samples, int(opened.offsets[samples])


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
