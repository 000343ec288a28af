"""Capture of one shard into the store's files, not yet visible."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mistudio_activations import ShardFile, ShardWriter, StorageFull, StoreCorrupt
from mistudio_activations.rawfile import map_tensor
from mistudio_contracts.errors import ExtractionFailed, InsufficientMemory
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import ColumnFile
from mistudio_contracts.work import CaptureShard
from mistudio_extractor.storage.layout import Layout, storage_full
from mistudio_footprint import DecoderShape, token_budget

from .device import DeviceFacts

if TYPE_CHECKING:
    from mistudio_capture import CaptureModel

BYTES = {Dtype.FLOAT32: 4, Dtype.FLOAT16: 2, Dtype.BFLOAT16: 2}
EVERY_SECONDS = 1.0
EVERY_SHARE = 0.05


class Capturing:
    """Captures shards, on the device's thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def capture(
        self,
        order: CaptureShard,
        model: CaptureModel,
        facts: DeviceFacts,
        on_progress: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> list[ColumnFile] | None:
        """Return the written files; None when ``should_stop`` said so, nothing left behind.

        Raises
        ------
        InsufficientStorage, InsufficientMemory, ExtractionFailed
            When the disk, the device or the token shard do not allow it.
        """
        from mistudio_capture import CaptureCancelled, OutOfDeviceMemory

        columns = len(order.shard.hook_points)
        row_bytes = model.hidden_size * BYTES[order.dtype] + 4
        self._layout.require(order.shard.tokens * row_bytes * columns)
        try:
            return self._capture(order, model, facts, _throttled(order, on_progress), should_stop)
        except CaptureCancelled:
            return None
        except StorageFull as error:
            needed = order.shard.tokens * row_bytes * columns
            raise storage_full(needed, self._layout.free_bytes()) from error
        except OutOfDeviceMemory as error:
            raise InsufficientMemory(
                "The longest sample does not fit the device beside the model.",
                reason="sample_too_large",
                remedy="Set max_length, choose fewer hook points, or unload other models.",
            ) from error

    def _capture(
        self,
        order: CaptureShard,
        model: CaptureModel,
        facts: DeviceFacts,
        on_progress: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> list[ColumnFile]:
        import torch

        from mistudio_capture import capture_shard

        store = self._layout.store(order.store_key)
        input_ids, offsets = _tokens(store, order)
        shard, points = order.shard, order.shard.hook_points
        with contextlib.ExitStack() as stack:
            writers = {
                point: stack.enter_context(
                    ShardWriter(
                        store, point, shard.index, shard.tokens, model.hidden_size, order.dtype
                    )
                )
                for point in points
            }

            def sink(point: str, row: int, rows: torch.Tensor) -> None:
                writers[point].write(row, rows)

            capture_shard(
                model,
                input_ids,
                offsets,
                points,
                sink,
                token_budget=self._token_budget(order, model, facts),
                dtype=getattr(torch, order.dtype.value),
                batch_size=order.batch_size,
                on_progress=on_progress,
                should_stop=should_stop,
            )
            return [_column_file(point, writer.close()) for point, writer in writers.items()]

    def _token_budget(self, order: CaptureShard, model: CaptureModel, facts: DeviceFacts) -> int:
        """Return the batch's tokens, from figures that are the same at each delivery."""
        path = self._layout.artifact(order.artifact) / "config.json"
        shape = DecoderShape.from_config(json.loads(path.read_text(encoding="utf-8")))
        return token_budget(
            shape,
            max(0, facts.memory_budget_bytes - order.artifact.bytes),
            facts.kind,
            hook_points=len(order.shard.hook_points),
            compute_bytes=model.dtype.itemsize,
            store_bytes=BYTES[order.dtype],
        )


def _tokens(store: Path, order: CaptureShard) -> tuple[Any, Any]:
    path = store / "tokens" / f"{order.shard.index:05d}.safetensors"
    try:
        input_ids, offsets = map_tensor(path, "input_ids"), map_tensor(path, "offsets")
    except StoreCorrupt as error:
        raise ExtractionFailed(
            "The shard's tokens are not in the store.",
            reason="tokens_missing",
            remedy="Ask for the extraction again; it is planned anew.",
        ) from error
    if input_ids.size != order.shard.tokens or offsets.size != order.shard.samples + 1:
        raise ExtractionFailed(
            "The shard's tokens are not those that were planned.",
            reason="tokens_changed",
            remedy="Ask for the extraction again; it is planned anew.",
        )
    return input_ids, offsets


def _column_file(point: str, file: ShardFile) -> ColumnFile:
    return ColumnFile(hook_point=point, path=file.path, bytes=file.bytes, sha256=file.sha256)


def _throttled(order: CaptureShard, tell: Callable[[int], None]) -> Callable[[int], None]:
    last_time, last_samples = time.monotonic(), 0

    def on_progress(samples: int) -> None:
        nonlocal last_time, last_samples
        now = time.monotonic()
        enough = samples - last_samples >= EVERY_SHARE * order.shard.samples
        if enough or now - last_time >= EVERY_SECONDS:
            last_time, last_samples = now, samples
            tell(samples)

    return on_progress
