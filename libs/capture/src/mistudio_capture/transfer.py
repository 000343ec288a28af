"""The way of captured rows from the device to the host, beside the forward pass.

On a GPU rows are copied on a stream of their own into pinned memory, so that the copy runs while
the next blocks are computed. Pinned memory is taken once and used again: two buffers for each hook
point, one being filled while the other is written to the disk. That is the back-pressure too: a
forward pass that is ahead of the disk by two batches waits for a buffer.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Protocol

import torch

BUFFERS = 2
"""Of each hook point."""


@dataclass
class Landed:
    """Rows on their way to the host, ``[rows, width]``.

    Call :meth:`wait` before they are read and :meth:`done` once they are not needed any more.
    """

    rows: torch.Tensor
    _event: torch.cuda.Event | None = None
    _home: queue.SimpleQueue[torch.Tensor] | None = None
    _buffer: torch.Tensor | None = None

    def wait(self) -> torch.Tensor:
        """Return the rows once they are there."""
        if self._event is not None:
            self._event.synchronize()
        return self.rows

    def done(self) -> None:
        """Give the memory back; the rows must not be read after it."""
        if self._home is not None and self._buffer is not None:
            self._home.put(self._buffer)
            self._home = None


class Lane(Protocol):
    """How rows come to the host."""

    def send(self, rows: torch.Tensor) -> Landed:
        """Begin to copy ``[rows, width]``; may wait until earlier rows are done with."""
        ...


class Here:
    """The lane of rows that lie on the host already."""

    def send(self, rows: torch.Tensor) -> Landed:
        return Landed(rows)


class Pinned:
    """The lane from a GPU.

    Parameters
    ----------
    device
        Where rows come from.
    points
        How many hook points send in turn.
    """

    def __init__(self, device: torch.device, points: int) -> None:
        self._stream = torch.cuda.Stream(device)
        self._free: queue.SimpleQueue[torch.Tensor] = queue.SimpleQueue()
        for _ in range(BUFFERS * points):
            self._free.put(torch.empty(0, dtype=torch.uint8))

    def send(self, rows: torch.Tensor) -> Landed:
        buffer = self._free.get()
        if buffer.numel() < rows.nbytes:
            buffer = torch.empty(rows.nbytes, dtype=torch.uint8, pin_memory=True)
        host = buffer[: rows.nbytes].view(rows.dtype).view(rows.shape)
        self._stream.wait_stream(torch.cuda.current_stream(rows.device))
        with torch.cuda.stream(self._stream):
            host.copy_(rows, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self._stream)
        # Its memory must not be used again by the forward pass before the copy is over.
        rows.record_stream(self._stream)
        return Landed(host, event, self._free, buffer)


def lane(device: torch.device, points: int) -> Lane:
    """Return the lane from a device for ``points`` hook points."""
    return Pinned(device, points) if device.type == "cuda" else Here()
