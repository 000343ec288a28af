"""Threads that hand captured rows to the sink, so that a forward pass waits for no disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .batching import Run
from .scaled import Packed
from .transfer import Landed

Sink = Callable[[str, int, Any], None]

PENDING = 8
"""Captured tensors and counts that may wait for a thread before the forward pass waits."""

THREADS = 8
"""At most. A GPU fills several columns faster than one thread takes checksums and statistics."""


@dataclass(frozen=True)
class _Rows:
    point: str
    where: list[Run]
    landed: Landed


@dataclass
class _Count:
    """Samples done, told once every thread has written what came before."""

    samples: int
    waits_for: int
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passed(self) -> bool:
        """Return whether the calling thread was the last."""
        with self._lock:
            self.waits_for -= 1
            return self.waits_for == 0


class Writers:
    """Hands rows to the sink; those of one hook point in order, always on the same thread.

    Parameters
    ----------
    sink, on_progress
        As for ``capture_shard``.
    points
        The hook points.
    threads
        How many; never more than there are hook points.
    scaled
        Whether rows come as codes with scales.
    """

    def __init__(
        self,
        sink: Sink,
        on_progress: Callable[[int], None],
        points: Sequence[str],
        threads: int,
        *,
        scaled: bool,
    ) -> None:
        self._sink, self._on_progress, self._scaled = sink, on_progress, scaled
        self._error: BaseException | None = None
        count = max(1, min(threads, len(points), THREADS))
        self._queues: list[queue.Queue[_Rows | _Count | None]] = [
            queue.Queue(maxsize=PENDING) for _ in range(count)
        ]
        self._of = {point: self._queues[i % count] for i, point in enumerate(points)}
        self._threads = [
            threading.Thread(target=self._work, args=[each], name="capture-writer", daemon=True)
            for each in self._queues
        ]
        for thread in self._threads:
            thread.start()

    def put(self, point: str, where: list[Run], landed: Landed) -> None:
        """Queue a hook point's rows of a batch.

        Waits while too many are pending; raises what the sink raised.
        """
        self._raise()
        self._of[point].put(_Rows(point, where, landed))

    def count(self, samples: int) -> None:
        """Queue the count of samples that are done with all rows before it."""
        mark = _Count(samples, len(self._queues))
        for each in self._queues:
            each.put(mark)

    def end(self) -> None:
        """Wait until everything is written, or the sink has raised."""
        for each in self._queues:
            each.put(None)
        for thread in self._threads:
            thread.join()

    def finish(self) -> None:
        """Wait until everything is written; raises what the sink raised."""
        self.end()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self, own: queue.Queue[_Rows | _Count | None]) -> None:
        while (item := own.get()) is not None:
            # After an error the queue is drained, so that the forward pass is not left waiting.
            try:
                if self._error is None:
                    self._take(item)
            except BaseException as error:  # noqa: BLE001 - raised again where put or finish is
                self._error = error
            finally:
                if isinstance(item, _Rows):
                    item.landed.done()

    def _take(self, item: _Rows | _Count) -> None:
        if isinstance(item, _Count):
            if item.passed():
                self._on_progress(item.samples)
            return
        there = item.landed.wait()
        rows = Packed(there).rows if self._scaled else there
        for run in item.where:
            self._sink(item.point, run.place, rows[run.start : run.end])
