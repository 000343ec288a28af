"""How far along a load is, and when that is worth telling."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mistudio_contracts import LoadStage

RANGES: dict[LoadStage, tuple[float, float]] = {
    LoadStage.RESOLVING: (0.0, 5.0),
    LoadStage.DOWNLOADING: (5.0, 60.0),
    LoadStage.VERIFYING: (60.0, 70.0),
    LoadStage.QUANTIZING: (70.0, 85.0),
    LoadStage.PLACING: (85.0, 100.0),
}
"""The part of the whole load that each stage takes, in percent."""


@dataclass(frozen=True)
class Step:
    """A moment of a preparation: ``done`` of ``total`` bytes of ``stage``.

    ``waiting`` says that somebody else has to finish first.
    """

    stage: LoadStage
    message: str = ""
    done: int | None = None
    total: int | None = None
    waiting: bool = False

    @property
    def overall(self) -> float:
        """Percent of the whole load."""
        low, high = RANGES[self.stage]
        if not self.total or self.done is None:
            return low
        return low + (high - low) * min(self.done / self.total, 1.0)


def seconds_left(step: Step, speed: float | None) -> float | None:
    """Return how long the rest of a stage takes at ``speed`` bytes a second."""
    if not speed or step.done is None or step.total is None:
        return None
    return max(step.total - step.done, 0) / speed


def told_speed(message: str, speed: float, left: float) -> str:
    """Return a message with the speed in bytes a second and the seconds left, for people."""
    minutes, seconds = divmod(round(left), 60)
    time = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{message.removesuffix('.')}: {speed / 1e6:.1f} MB/s, {time} left."


class Rate:
    """Bytes a second over the last few seconds of one stage."""

    def __init__(self, window: float = 5.0) -> None:
        self._window = window
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> float | None:
        """Note ``done`` bytes at ``now`` seconds; return the rate, None until there is one."""
        if self._points and done < self._points[-1][1]:
            self._points.clear()
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[0][0] > self._window:
            self._points.popleft()
        first_time, first_done = self._points[0]
        return (done - first_done) / (now - first_time) if now > first_time else None


@dataclass
class Pace:
    """Decides which steps are told: each change of stage, each percent, and not too many.

    Times are in seconds. ``interval`` is the least time between two tellings of a stage,
    ``heartbeat`` the most.
    """

    interval: float = 0.2
    heartbeat: float = 1.5
    _stage: LoadStage | None = field(default=None, init=False)
    _percent: float = field(default=-1.0, init=False)
    _told: float = field(default=float("-inf"), init=False)

    def due(self, step: Step, now: float) -> bool:
        """Return whether to tell ``step`` at ``now``, and remember that it was told."""
        percent = 100.0 * (step.done or 0) / step.total if step.total else 0.0
        tell = (
            step.stage is not self._stage
            or (now - self._told >= self.interval and abs(percent - self._percent) >= 1.0)
            or now - self._told >= self.heartbeat
        )
        if tell:
            self._stage, self._percent, self._told = step.stage, percent, now
        return tell
