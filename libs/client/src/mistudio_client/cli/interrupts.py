"""Turns the signals that end a program into KeyboardInterrupt, and counts them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Interrupts:
    """While entered, the first of SIGINT, SIGTERM and SIGHUP raises KeyboardInterrupt.

    Parameters
    ----------
    insisted
        Called by each later one, which raises nothing: it comes while the program is busy
        ending, and an exception at an arbitrary place would cut that short.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, insisted: Callable[[], None]) -> None:
        self._insisted = insisted
        self.count = 0
        self._previous: dict[signal.Signals, Any] = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            raise KeyboardInterrupt
        self._insisted()

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
