"""Capture of one shard into the store's files, not yet visible. Runs on the device's thread."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mistudio_activations import Place, ShardFile, ShardWriter, StorageFull, StoreCorrupt
from mistudio_activations import ScaledRows as OnDisk
from mistudio_activations.places import Where, whole
from mistudio_contracts.errors import ExtractionFailed
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import ColumnFile
from mistudio_contracts.work import CaptureShard
from mistudio_extractor.metrics import Metrics
from mistudio_extractor.storage.bucket import bucket_errors
from mistudio_extractor.storage.layout import Layout

from .counting import counted
from .sizing import Sizing

if TYPE_CHECKING:
    from mistudio_capture import CaptureModel


class Capturing:
    """Captures shards.

    Parameters
    ----------
    layout
        Of the pool's disk.
    metrics
        Told what is run and written.
    """

    def __init__(self, layout: Layout, metrics: Metrics | None = None) -> None:
        self._layout = layout
        self._metrics = metrics or Metrics()

    @bucket_errors()
    def capture(
        self,
        order: CaptureShard,
        model: CaptureModel,
        sizing: Sizing,
        on_progress: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> list[ColumnFile] | None:
        """Return the written files; None when ``should_stop`` said so, nothing left behind.

        Raises
        ------
        InsufficientStorage
            When the disk does not hold the shard.
        ExtractionFailed
            When the shard's tokens are not those that were planned, the model refuses them, or
            the store's bucket cannot be used.
        ServiceUnavailable
            When the bucket does not answer.
        OutOfDeviceMemory
            When a sample alone does not fit the device.
        """
        from mistudio_capture import CaptureCancelled, InputsRefused

        input_ids, offsets = _tokens(self._layout.store(order.store_key), order)
        try:
            widths = {point: model.width(point) for point in order.shard.hook_points}
            self._layout.require(_needed_bytes(order, widths))
            return self._write(
                order, model, widths, sizing, input_ids, offsets, on_progress, should_stop
            )
        except (CaptureCancelled, FileNotFoundError):
            # Of what it has begun to write the second finds nothing: the store is being deleted,
            # which is done to one that nobody works on. The order is void, or comes again.
            return None
        except InputsRefused as error:
            raise ExtractionFailed(
                f"The model cannot run these samples or hook points: {error}.",
                reason="inputs_refused",
                remedy="Ask for the extraction again; if it fails again, load the model again.",
            ) from error
        except StorageFull as error:
            raise self._layout.full(_needed_bytes(order, widths)) from error

    def _write(
        self,
        order: CaptureShard,
        model: CaptureModel,
        widths: Mapping[str, int],
        sizing: Sizing,
        input_ids: Any,
        offsets: Any,
        on_progress: Callable[[int], None],
        should_stop: Callable[[], bool],
    ) -> list[ColumnFile]:
        shard = order.shard
        with counted(model, self._metrics):
            files = write_rows(
                self._layout.store(order.store_key),
                shard.index,
                model,
                widths,
                input_ids,
                offsets,
                order.dtype,
                token_budget=sizing.batch_tokens(sum(widths.values()), order.dtype),
                batch_size=order.batch_size,
                on_progress=on_progress,
                should_stop=should_stop,
            )
        self._metrics.tokens.inc(shard.tokens)
        self._metrics.samples.inc(shard.samples)
        self._metrics.bytes.inc(sum(file.bytes for file in files.values()))
        return [_column_file(point, file) for point, file in files.items()]


def write_rows(
    store: Where,
    index: int,
    model: CaptureModel,
    widths: Mapping[str, int],
    input_ids: Any,
    offsets: Any,
    dtype: Dtype,
    should_stop: Callable[[], bool] = lambda: False,
    **how: Any,
) -> dict[str, ShardFile]:
    """Run samples through a model and write one shard of each column; nothing of one that fails.

    Parameters
    ----------
    store, index
        Where the shard goes.
    widths
        Of the hook points to capture.
    input_ids, offsets
        The samples, end to end.
    should_stop
        Asked before each batch, and before the files get their names.
    **how
        As ``capture_shard`` takes it.

    Raises
    ------
    CaptureError
        As ``capture_shard``.
    StorageFull
        When there is no room.
    """
    import torch

    from mistudio_capture import CaptureCancelled, ScaledRows, capture_shard

    with contextlib.ExitStack() as stack:
        writers = {
            point: stack.enter_context(
                ShardWriter(store, point, index, input_ids.size, width, dtype.value)
            )
            for point, width in widths.items()
        }

        def sink(point: str, row: int, rows: Any) -> None:
            if isinstance(rows, ScaledRows):
                rows = OnDisk(rows.codes, rows.scales, rows.norms, rows.squares)
            writers[point].write(row, rows)

        capture_shard(
            model,
            input_ids,
            offsets,
            list(widths),
            sink,
            dtype=getattr(torch, dtype.value),
            # On a CPU every further thread would only take from the forward pass.
            threads=1 if model.device.type == "cpu" else max(1, (os.cpu_count() or 1) // 2),
            should_stop=should_stop,
            **how,
        )
        if should_stop():
            raise CaptureCancelled
        return {point: writer.close() for point, writer in writers.items()}


def _needed_bytes(order: CaptureShard, widths: Mapping[str, int]) -> int:
    return order.shard.tokens * sum(order.dtype.row_bytes(width) for width in widths.values())


def _tokens(store: Place, order: CaptureShard) -> tuple[Any, Any]:
    path = f"tokens/{order.shard.index:05d}.safetensors"
    try:
        input_ids, offsets = (whole(store.tensor(path, n)) for n in ("input_ids", "offsets"))
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
