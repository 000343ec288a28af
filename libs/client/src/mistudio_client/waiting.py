"""Waiting for an end: told by the WebSocket, asked for while there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.frames import Frame

from .events import EventStream

State = TypeVar("State")

POLL_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""A service that was there and is away for longer is given up."""


def wait_until(
    stream: EventStream,
    fetch: Callable[[], State],
    ended: Callable[[State], bool],
    *,
    ends: frozenset[str],
    on_state: Callable[[State], None],
    on_frame: Callable[[Frame], None],
    timeout: float | None = None,
) -> State:
    """Return the state once it has ended.

    Each subscription is followed by a reading, so nothing that happened before it is missed;
    after that only the frames named in ``ends`` lead to another. While there is no connection
    the state is read every five seconds.

    Parameters
    ----------
    stream
        The events of what is waited for. Closed at the end.
    fetch
        Reads the present state.
    ended
        Whether a state is final.
    ends
        Frame types that tell of an end.
    on_state, on_frame
        Called with each state read and each frame heard.
    timeout
        Seconds; None to wait for ever.

    Raises
    ------
    TimeoutError
        When ``timeout`` has passed.
    ServiceUnavailable
        When the service cannot be read at the beginning, or for a minute later on.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    reading = _Reading(fetch)
    seen = -1
    with stream:
        stream.connect(_within(deadline))
        while True:
            if stream.connections != seen or not stream.connected or reading.owed:
                seen = stream.connections
                state = reading.take()
                if state is not None:
                    on_state(state)
                    if ended(state):
                        return state
            pause = _within(deadline)
            if pause <= 0:
                raise TimeoutError(f"no end within {timeout:g} seconds")
            frame = stream.next(pause)
            if frame is not None:
                on_frame(frame)
                reading.owed = reading.owed or frame.type in ends


class _Reading(Generic[State]):
    """Readings of the state, of which some may fail while the service is away for a moment."""

    def __init__(self, fetch: Callable[[], State]) -> None:
        self._fetch = fetch
        self._last: float | None = None
        self.owed = False
        """Whether the state has changed since it was read."""

    def take(self) -> State | None:
        """Return the state, or None when the service is away."""
        try:
            state = self._fetch()
        except ServiceUnavailable:
            if self._last is None or time.monotonic() - self._last > PATIENCE_SECONDS:
                raise
            self.owed = True
            return None
        self._last = time.monotonic()
        self.owed = False
        return state


def _within(deadline: float | None) -> float:
    left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
    return min(POLL_SECONDS, left)
