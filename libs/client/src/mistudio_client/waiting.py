"""Waiting for an end: told by the WebSocket, asked for while there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mistudio_contracts.frames import Frame

from .events import EventStream

State = TypeVar("State")

POLL_SECONDS = 5.0


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
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    seen = -1
    with stream:
        stream.connect(_within(deadline, POLL_SECONDS))
        while True:
            if stream.connections != seen or not stream.connected:
                seen = stream.connections
                state = fetch()
                on_state(state)
                if ended(state):
                    return state
            pause = _within(deadline, POLL_SECONDS)
            if pause <= 0:
                raise TimeoutError(f"no end within {timeout:g} seconds")
            frame = stream.next(pause)
            if frame is None:
                continue
            on_frame(frame)
            if frame.type in ends:
                state = fetch()
                on_state(state)
                if ended(state):
                    return state


def _within(deadline: float | None, seconds: float) -> float:
    return seconds if deadline is None else min(seconds, deadline - time.monotonic())
