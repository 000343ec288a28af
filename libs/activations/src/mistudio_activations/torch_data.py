"""Batches for a torch ``DataLoader``, dealt out to its workers and to the ranks of a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from .places import Where
from .rawfile import STORE_DTYPES
from .reader import open


class ActivationDataset(IterableDataset[dict[str, torch.Tensor]]):
    """Whole batches of a store: give it to ``DataLoader(dataset, batch_size=None)``.

    Each is a dict of ``rows`` int64, ``input_ids`` int64, ``positions`` int64, ``[n]`` each, and a
    tensor ``[n, width]`` for each column, of its dtype; float32 for int8. With several workers or
    ranks each reads blocks of its own; what is left over at the end of each is a smaller batch.
    Workers that read a bucket must not be forked from a process that has read one: give the
    ``DataLoader`` ``multiprocessing_context="forkserver"``.

    Parameters
    ----------
    store
        Where it lies.
    columns
        Such as ``layers.6.resid_post``.
    batch_size, options
        As for :meth:`~.reader.ActivationStore.batches`; ``rank`` and ``world_size`` are the job's.
    """

    def __init__(
        self, store: Where, columns: Sequence[str], batch_size: int = 4096, **options: Any
    ) -> None:
        self._store, self._columns, self._size = store, list(columns), batch_size
        self._options = options
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration; before workers are started."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        own, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        options = dict(self._options)
        rank, world = options.pop("rank", 0), options.pop("world_size", 1)
        batches = open(self._store).batches(
            self._columns,
            self._size,
            rank=rank * workers + own,
            world_size=world * workers,
            **options,
        )
        batches.load_state_dict({"epoch": self.epoch, "batches": 0})
        for batch in batches:
            yield {
                "rows": torch.from_numpy(batch.rows),
                "input_ids": torch.from_numpy(batch.input_ids.astype(np.int64)),
                "positions": torch.from_numpy(batch.positions),
                **{name: _tensor(values) for name, values in batch.columns.items()},
            }


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    if values.dtype == STORE_DTYPES["bfloat16"]:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)
