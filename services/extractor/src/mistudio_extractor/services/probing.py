"""What an extraction would compute and how fast, found out before it is begun."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from mistudio_activations import StorageFull, read_manifest
from mistudio_contracts.base import new_id
from mistudio_contracts.hooks import depth_of
from mistudio_contracts.rpc import ExtractionProbe, ProbeExtractionRequest
from mistudio_extractor.domain.drawing import drawn
from mistudio_extractor.storage.layout import Layout
from mistudio_extractor.storage.skipped import SkippedRows

from .arrivals import Resident
from .capturing import write_rows
from .device import Device
from .planning import There
from .residency import Residency
from .tokenizing import Tokenizing

PLACES, ROWS = 8, 32
"""So many rows in succession are counted at so many places of the dataset."""

FIRST_TOKENS = 64
SECONDS = 1.0
"""How long the timed pass takes, about; a first, short one tells how many tokens that is."""

SAMPLE = 128
"""Tokens of a sample of a timed pass, or the model's context if that is less."""


class Probing:
    """Answers ``rpc.extractor.*.extraction.probe``.

    Speeds that were measured are kept for as long as the process lives.
    """

    def __init__(self, layout: Layout, device: Device, residency: Residency) -> None:
        self._layout, self._device, self._residency = layout, device, residency
        self._speeds: dict[str, float] = {}

    async def probe(self, request: ProbeExtractionRequest) -> ExtractionProbe:
        """Count what is missing, and measure where that is asked for.

        Raises
        ------
        MiStudioError
            As :class:`Tokenizing`, and when the artifact or the dataset is not there.
        """
        # The import of transformers must not meet the device's half-way.
        await self._device.facts()
        found = await asyncio.to_thread(self._count, request)
        if not any(found.missing.values()):
            return found
        speed = self._speeds.get(request.artifact.fingerprint)
        if speed is not None or not request.measure:
            return found.model_copy(update={"work_per_second": speed})
        try:
            speed = await self._measure(request)
        except NotMeasurable as error:
            return found.model_copy(update={"unknown": str(error)})
        self._speeds[request.artifact.fingerprint] = speed
        return found.model_copy(update={"work_per_second": speed})

    def _count(self, request: ProbeExtractionRequest) -> ExtractionProbe:
        store = self._layout.store(request.store_key)
        manifest = read_manifest(store)
        wanted = request.sample_count or request.dataset.sample_count
        there = There.of(store, manifest, wanted)
        sampled, fresh = 0, 0
        if wanted > there.end.row:
            sampled, fresh = self._sample(request, there.end.row, wanted)
        tokens = there.end.tokens + fresh
        columns = manifest.columns if manifest else {}
        covered = {name: column.tokens for name, column in columns.items()}
        return ExtractionProbe(
            tokens=tokens,
            rows_sampled=sampled,
            missing={p: max(0, tokens - covered.get(p, 0)) for p in request.hook_points},
        )

    def _sample(self, request: ProbeExtractionRequest, start: int, end: int) -> tuple[int, int]:
        """Return how many rows were counted, and the tokens of all rows from ``start`` on."""
        tokenizing = Tokenizing(self._layout.artifact(request.artifact), request.tokenization)
        parquet = self._layout.dataset(request.dataset)
        rows, tokens = 0, 0
        for first, last in drawn(request.dataset.fingerprint, start, end, PLACES, ROWS):
            samples = tokenizing.samples(parquet, first, last, SkippedRows())
            tokens += sum(len(sample.ids) for sample in samples)
            rows += last - first
        return rows, tokens * (end - start) // rows

    async def _measure(self, request: ProbeExtractionRequest) -> float:
        residents = {each.model_id: each for each in self._residency.residents()}
        if any(each.leases for each in residents.values()):
            raise NotMeasurable("The device is at work, and no speed of this model is known.")
        there = residents.get(request.model_id)
        if there is None or there.fingerprint != request.artifact.fingerprint:
            raise NotMeasurable("The model is not in memory, and no speed of it is known.")
        task = new_id("task")
        async with self._residency.lease(request.model_id, task, request.artifact) as resident:
            return await self._device.run(lambda: self._time(request, resident))

    @property
    def _prefix(self) -> str:
        return f".probe-{self._device.device_id}-"

    async def tidy(self) -> None:
        """Take away what a process of this device that was killed while it measured has left."""
        for left in self._layout.disk.glob(f"{self._prefix}*"):
            await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)

    def _time(self, request: ProbeExtractionRequest, resident: Resident) -> float:
        with tempfile.TemporaryDirectory(prefix=self._prefix, dir=self._layout.disk) as scratch:
            first = _timed(request, resident, FIRST_TOKENS, Path(scratch))
            widths = sum(resident.model.width(point) for point in request.hook_points)
            most = resident.sizing.batch_tokens(widths, request.dtype)
            tokens = min(most, max(FIRST_TOKENS, int(FIRST_TOKENS * SECONDS / first)))
            seconds = _timed(request, resident, tokens, Path(scratch))
        return tokens * depth_of(request.hook_points, resident.sizing.shape.layers) / seconds


class NotMeasurable(Exception):
    """The message says why no pass can be timed now."""


def _timed(
    request: ProbeExtractionRequest, resident: Resident, tokens: int, scratch: Path
) -> float:
    """Return the seconds that a pass and the writing of its rows take."""
    from mistudio_capture import CaptureError

    model = resident.model
    ids = np.random.default_rng(0).integers(0, model.vocab_size, tokens, np.int32)
    length = min(SAMPLE, resident.sizing.shape.context)
    offsets = np.array([*range(0, tokens, length), tokens], np.int64)
    started = time.monotonic()
    try:
        widths = {point: model.width(point) for point in request.hook_points}
        write_rows(scratch, 0, model, widths, ids, offsets, request.dtype, token_budget=tokens)
    except (CaptureError, StorageFull) as error:
        raise NotMeasurable(f"A pass could not be timed: {error}.") from error
    return time.monotonic() - started
