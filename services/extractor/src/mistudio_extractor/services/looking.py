"""Looking into what is stored: the figures of a picture, from no more than is read in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mistudio_activations import ActivationStore, Column, Manifest, StoreCorrupt
from mistudio_contracts.errors import ExtractionFailed, InvalidInput
from mistudio_contracts.looking import (
    MOST_SHOWN,
    HeatMap,
    HeatMapRequest,
    HeatSample,
    Norms,
    NormsRequest,
    TopToken,
    TopTokens,
    TopTokensRequest,
)
from mistudio_extractor.domain.best import Best
from mistudio_extractor.domain.buckets import position_buckets
from mistudio_extractor.storage.bucket import bucket_errors
from mistudio_extractor.storage.layout import Layout
from mistudio_extractor.storage.manifests import gone, manifest_of
from mistudio_extractor.storage.parts import Parts

from .measuring import Measuring
from .texts import Texts, texts_of

NORMS = 1 << 18
"""Norms of a column that are read, at most: a mebibyte."""

NORMS_OF_ALL = 1 << 24
"""Of all columns together."""

SECONDS = 4.0
"""How long tokens are compared, about."""

AROUND = 8
"""Tokens before, and after, one of the top tokens that are told with it."""


class Looking:
    """Answers ``rpc.store.*`` about what rows say. Blocking: call it on a thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @bucket_errors()
    def norms(self, request: NormsRequest) -> Norms:
        """Tell the mean norms of the first rows, as many as are read soon enough.

        Raises
        ------
        NotFound
            When a column is no longer stored.
        ExtractionFailed
            When the store is damaged.
        ServiceUnavailable
            When the store's bucket does not answer.
        """
        names = request.hook_points
        with self._parts(request.store_key, names, request.sample_count) as (_, parts):
            most = min(NORMS, max(1, NORMS_OF_ALL // len(names)))
            store = parts.part(0, min(parts.shards, parts.shard_of_row(most - 1) + 1))
            rows = min(store.tokens, most)
            positions = _positions(store, rows)
            longest = int(positions.max(initial=-1)) + 1
            starts = position_buckets(longest)
            buckets = np.searchsorted(starts, positions, "right") - 1

            def means(name: str) -> list[float | None]:
                return _means(store[name].norms_between(0, rows), buckets, len(starts))

            with ThreadPoolExecutor(parts.readers) as readers:
                found = list(readers.map(means, names))
            return Norms(
                hook_points=list(names),
                positions=starts,
                longest=longest,
                mean_norms=found,
                tokens_read=rows,
                total_tokens=parts.tokens,
            )

    @bucket_errors()
    def heat_map(self, request: HeatMapRequest) -> HeatMap:
        """Tell a number for each token of some samples.

        Raises
        ------
        InvalidInput
            When there are no such samples, no such component, or the direction is of another width.
        NotFound, ExtractionFailed, ServiceUnavailable
            As :meth:`norms`.
        """
        name, first = request.hook_point, request.first_sample
        with self._parts(request.store_key, [name], request.sample_count) as (manifest, parts):
            width = manifest.columns[name].width
            measuring = Measuring(request.along, width)
            if first >= parts.samples and first:
                raise _no_such_sample(first, parts.samples)
            end = min(first + request.samples, parts.samples)
            samples: list[HeatSample] = []
            if first < end:
                shard = parts.shard_of_sample(first)
                store = parts.part(shard, parts.shard_of_sample(end - 1) + 1)
                texts = texts_of(self._layout, manifest.info)
                column, before = store[name], parts.first_sample(shard)
                samples = [
                    _heat(store, column, measuring, texts, before, index - before)
                    for index in range(first, end)
                ]
            return HeatMap(
                hook_point=name,
                measure=measuring.measure,
                width=width,
                first_sample=first,
                total_samples=parts.samples,
                samples=samples,
            )

    @bucket_errors()
    def top_tokens(self, request: TopTokensRequest) -> TopTokens:
        """Find where a number is largest or least, among as many tokens as are read in time.

        Raises
        ------
        InvalidInput
            When there is no such component, or the direction is of another width.
        NotFound, ExtractionFailed, ServiceUnavailable
            As :meth:`norms`.
        """
        name = request.hook_point
        with self._parts(request.store_key, [name], request.sample_count) as (manifest, parts):
            width = manifest.columns[name].width
            measuring = Measuring(request.along, width)
            best, read = _compared(parts, name, measuring, request.count, request.least)
            texts = texts_of(self._layout, manifest.info)
            return TopTokens(
                hook_point=name,
                measure=measuring.measure,
                width=width,
                tokens=_told(parts, best, texts),
                tokens_read=read,
                total_tokens=parts.tokens,
            )

    @contextmanager
    def _parts(
        self, store_key: str, names: list[str], samples: int
    ) -> Iterator[tuple[Manifest, Parts]]:
        """Open a store and tell what is wrong with it, should that come out while it is read."""
        store = self._layout.store(store_key)

        def manifest() -> Manifest:
            found = manifest_of(store)
            if not found.columns.keys() >= set(names):
                raise gone()
            return found

        opened = manifest()
        try:
            yield opened, Parts(store, opened, names, samples)
        except (StoreCorrupt, FileNotFoundError) as error:
            manifest()  # What was deleted meanwhile is no damage.
            raise ExtractionFailed(
                "A file of the store is not what was written.",
                reason="store_damaged",
                remedy="Verify the cache, which names the file.",
            ) from error


def _compared(
    parts: Parts, name: str, measuring: Measuring, count: int, least: bool
) -> tuple[Best, int]:
    """Return the best rows of those that were read, and how many were read."""
    until = time.monotonic() + SECONDS
    best, read = Best.none(least=least), 0
    for shard in range(parts.shards):
        column = parts.part(shard, shard + 1)[name]
        for start in range(0, len(column), measuring.rows):
            end = min(start + measuring.rows, len(column))
            values = measuring.of(column, start, end)
            best = best.with_more(values, read, count)
            read += end - start
            if time.monotonic() >= until:
                return best, read
    return best, read


def _told(parts: Parts, best: Best, texts: Texts | None) -> list[TopToken]:
    shard_of = [parts.shard_of_row(int(row)) for row in best.rows]

    def opened(shard: int) -> tuple[int, ActivationStore]:
        store = parts.part(shard, shard + 1)
        # All that is asked of it, while others are read.
        _ = store.offsets, store.sample_ids, store.input_ids
        return shard, store

    shards = sorted(set(shard_of))
    with ThreadPoolExecutor(parts.readers) as readers:
        stores = dict(readers.map(opened, shards))

    def read(ids: list[int]) -> str | None:
        return None if texts is None else texts.together(ids)

    found = []
    for value, row, shard in zip(best.values, best.rows, shard_of, strict=True):
        store, at = stores[shard], int(row) - parts.first_row(shard)
        sample = int(np.searchsorted(store.offsets, at, "right")) - 1
        start, end = int(store.offsets[sample]), int(store.offsets[sample + 1])
        ids = store.input_ids[start:end].tolist()
        place = at - start
        found.append(
            TopToken(
                sample=parts.first_sample(shard) + sample,
                row=int(store.sample_ids[sample]),
                position=place,
                input_id=ids[place],
                value=float(value),
                text=read([ids[place]]),
                before=read(ids[max(0, place - AROUND) : place]),
                after=read(ids[place + 1 : place + 1 + AROUND]),
            )
        )
    return found


def _heat(
    store: ActivationStore,
    column: Column,
    measuring: Measuring,
    texts: Texts | None,
    before: int,
    index: int,
) -> HeatSample:
    """Return sample ``index`` of a part of a store that has ``before`` samples before it."""
    start, end = int(store.offsets[index]), int(store.offsets[index + 1])
    shown = min(end, start + MOST_SHOWN)
    values = measuring.of(column, start, shown)
    ids = store.input_ids_between(start, shown).tolist()
    return HeatSample(
        sample=before + index,
        row=int(store.sample_ids[index]),
        start=int(store.starts[index]),
        token_count=end - start,
        input_ids=ids,
        texts=None if texts is None else texts.each(ids),
        values=[float(value) if np.isfinite(value) else None for value in values],
    )


def _positions(store: ActivationStore, rows: int) -> NDArray[np.int64]:
    """Return the position in its sample of each of the first rows, int64 ``[rows]``."""
    begins = np.repeat(store.offsets[:-1], np.diff(store.offsets))
    found: NDArray[np.int64] = np.arange(rows) - begins[:rows]
    return found


def _means(
    norms: NDArray[np.float32], buckets: NDArray[np.int64], count: int
) -> list[float | None]:
    finite = np.isfinite(norms)
    sums = np.bincount(buckets[finite], norms[finite].astype(np.float64), count)
    tokens = np.bincount(buckets[finite], minlength=count)
    return [float(s / n) if n else None for s, n in zip(sums, tokens, strict=True)]


def _no_such_sample(first: int, samples: int) -> InvalidInput:
    return InvalidInput(
        f"There is no sample {first}: the cache has {samples}.",
        field="first_sample",
        reason="out_of_range",
        total_samples=samples,
        remedy=f"Begin with one of 0 to {max(0, samples - 1)}.",
    )
