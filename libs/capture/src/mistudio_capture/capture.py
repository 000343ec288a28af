"""Capture of one shard: forward, gather and cast on the device, write on other threads."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray

from .batching import Sample, distinct, iter_batches, runs, tokens_of
from .errors import CaptureCancelled, InputsRefused, OutOfDeviceMemory
from .model import CaptureModel
from .scaled import scale_rows
from .transfer import Lane, lane
from .writing import Sink, Writers


def capture_shard(
    model: CaptureModel,
    input_ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    hook_points: Sequence[str],
    sink: Sink,
    *,
    token_budget: int,
    dtype: torch.dtype,
    batch_size: int | None = None,
    threads: int = 1,
    on_progress: Callable[[int], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run a shard's samples and hand each hook point's rows to ``sink``.

    Identical samples are computed once. Of families that are packed rows come in order, unless
    samples repeat; of those that are padded samples come by length.

    Parameters
    ----------
    model
        A loaded model.
    input_ids
        int32 ``[tokens]``, the samples end to end.
    offsets
        int64 ``[samples + 1]``, where each begins.
    hook_points
        Such as ``layers.6.resid_post``.
    sink
        Called from other threads, for one hook point always from the same, with the hook point,
        the first row and ``[rows, width]`` of ``dtype`` on the CPU, as
        :class:`~.scaled.ScaledRows` for int8; every row of the shard comes once.
    token_budget
        Most tokens of a batch, see ``mistudio_footprint.token_budget``.
    dtype
        Of the rows: a float, or ``torch.int8`` with a scale a row.
    batch_size
        Most samples of a batch.
    threads
        That write, beside the forward pass. More than one help where a GPU is ahead of them.
    on_progress
        Called from such a thread with the samples written so far.
    should_stop
        Asked before each batch.

    Raises
    ------
    InputsRefused
        As :meth:`CaptureModel.check`, and when a token id lies outside the vocabulary: on a GPU
        either would end the process's device context.
    CaptureCancelled
        When ``should_stop`` said so.
    OutOfDeviceMemory
        When a sample alone does not fit. Before that the budget is halved and what is done kept.
    Exception
        Whatever ``sink`` raised.
    """
    model.check(np.diff(offsets).tolist(), hook_points)
    if input_ids.size and not 0 <= int(input_ids.min()) <= int(input_ids.max()) < model.vocab_size:
        raise InputsRefused(f"token ids must lie between 0 and {model.vocab_size - 1}")
    ids = torch.from_numpy(input_ids.astype(np.int64))
    writers = Writers(sink, on_progress, hook_points, threads, scaled=dtype is torch.int8)
    to_host = lane(model.device, len(hook_points))
    start, done, written, budget, padded = 0, 0, 0, token_budget, not model.packs
    samples = distinct(input_ids, offsets, padded=padded)
    lengths = [sample.length for sample in samples]
    try:
        while done < len(lengths):
            try:
                for start, end in iter_batches(lengths, budget, batch_size, done, padded=padded):
                    if should_stop():
                        raise CaptureCancelled
                    batch = samples[start:end]
                    after = written + sum(len(sample.places) for sample in batch)
                    _batch(model, ids, batch, hook_points, dtype, writers, to_host, after)
                    done, written = end, after
            except torch.cuda.OutOfMemoryError as error:
                if end - start == 1:
                    raise OutOfDeviceMemory(
                        f"a sample of {lengths[start]} tokens does not fit the device"
                    ) from error
                budget = tokens_of(lengths[start:end], padded=padded) // 2
                # Its frames would keep the failed pass's tensors on the device.
                traceback.clear_frames(error.__traceback__)
                torch.cuda.empty_cache()
    except BaseException:
        # What stopped the forward pass is told, even when the sink fails meanwhile.
        writers.end()
        raise
    writers.finish()


def _batch(
    model: CaptureModel,
    ids: torch.Tensor,
    batch: Sequence[Sample],
    hook_points: Sequence[str],
    dtype: torch.dtype,
    writers: Writers,
    to_host: Lane,
    samples_written: int,
) -> None:
    bounds = [0, *accumulate(sample.length for sample in batch)]
    pieces = [ids[s.places[0] : s.places[0] + s.length] for s in batch]
    pack = torch.cat(pieces).to(model.device)
    kept: list[tuple[str, torch.Tensor]] = []

    def keep(point: str, hidden: torch.Tensor) -> None:
        if dtype is torch.int8:
            kept.append((point, scale_rows(hidden).packed))
            return
        # A copy even without a cast: a later block may add to the residual stream in place.
        kept.append((point, hidden.to(dtype=dtype, copy=True)))

    if len(pack):
        model.run(pack, bounds, hook_points, keep)
    # Queued only when everything has succeeded: after an out-of-memory nothing comes twice.
    where = runs(batch)
    for point, landed in [(point, to_host.send(rows)) for point, rows in kept]:
        writers.put(point, where, landed)
    writers.count(samples_written)
