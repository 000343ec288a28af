"""What waits to be sent to one WebSocket client."""

from __future__ import annotations

from collections import OrderedDict, deque

from .events import PublicEvent
from .guard import Step


class Lagging(Exception):
    """The client is further behind than it may be."""


class Outbox:
    """Two lanes: events, which are all sent in order, and the newest progress of each entity.

    Parameters
    ----------
    limit
        Bytes of waiting events beyond which the client is given up.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[PublicEvent] = deque()
        self._waiting = 0
        self._progress: OrderedDict[str, PublicEvent] = OrderedDict()
        self._steps: dict[str, Step] = {}

    def __len__(self) -> int:
        return len(self._events) + len(self._progress)

    @property
    def waiting(self) -> int:
        """Bytes of the events that wait."""
        return self._waiting

    def put_event(self, event: PublicEvent) -> None:
        """Queue an event.

        Raises
        ------
        Lagging
            When the events that wait would exceed the limit.
        """
        if self._waiting + event.size > self._limit:
            raise Lagging
        self._events.append(event)
        self._waiting += event.size

    def put_progress(self, step: Step, event: PublicEvent) -> None:
        """Queue a step in place of an older one of the same entity; never go back in a task."""
        last = self._steps.get(step.entity)
        if last is not None and last.task == step.task and step.progress < last.progress:
            return
        self._steps[step.entity] = step
        self._progress[step.entity] = event

    def begin_progress(self, step: Step, event: PublicEvent) -> None:
        """Queue the step that progress begins with, unless one as far on was queued meanwhile.

        What was heard as it happened tells more than what is known of a task: why it is tried
        again, how fast it is.
        """
        last = self._steps.get(step.entity)
        if last is None or (last.task == step.task and last.progress < step.progress):
            self.put_progress(step, event)

    def end(self, entity: str) -> None:
        """Forget an entity's progress: its task has ended."""
        self._progress.pop(entity, None)
        self._steps.pop(entity, None)

    def pop(self) -> PublicEvent | None:
        """Take what is to be sent next: events first."""
        if self._events:
            event = self._events.popleft()
            self._waiting -= event.size
            return event
        if self._progress:
            return self._progress.popitem(last=False)[1]
        return None
