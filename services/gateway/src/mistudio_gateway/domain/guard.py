"""Order between two streams: progress that comes after its task's end is out of date."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from mistudio_contracts.events import (
    Event,
    ExtractionCancelled,
    ExtractionCompleted,
    ExtractionFailed,
    ExtractionProgress,
    ModelDeleted,
    ModelFailed,
    ModelLoading,
    ModelLoadProgress,
    ModelReady,
    ModelUnloaded,
)


@dataclass(frozen=True)
class Step:
    """Where a task is: the newest step of an entity replaces the one before.

    ``entity`` is the model's or extraction's id, ``task`` the attempt (for an extraction the
    same id), ``progress`` a percentage.
    """

    entity: str
    task: str
    progress: float


def step_of(event: Event) -> Step | None:
    """Return the step that a progress event tells, or None for any other event."""
    if isinstance(event, ModelLoadProgress):
        return Step(event.model_id, event.task_id, event.progress)
    if isinstance(event, ExtractionProgress):
        return Step(event.extraction_id, event.extraction_id, event.progress)
    return None


class TaskGuard:
    """Remembers which tasks have ended.

    EVENTS and PROGRESS are two streams, each in order, with none between them. What tells them
    apart is the task: once its end was seen, its progress is refused.

    Parameters
    ----------
    remember
        How many ended tasks, and how many models, are remembered.
    """

    def __init__(self, remember: int = 10_000) -> None:
        self._remember = remember
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._current: OrderedDict[str, str] = OrderedDict()

    def observe(self, event: Event) -> str | None:
        """Take note of an event; return the entity whose task it ends, if it ends one."""
        if isinstance(event, ModelLoading):
            self._begin(event.model_id, event.task_id)
            return None
        if isinstance(event, ModelReady | ModelFailed):
            self._end(event.task_id)
            return event.model_id
        if isinstance(event, ModelUnloaded | ModelDeleted):
            # These name no task: whichever was the model's last is over.
            self._end(self._current.get(event.model_id))
            return event.model_id
        if isinstance(event, ExtractionCompleted | ExtractionFailed | ExtractionCancelled):
            self._end(event.extraction_id)
            return event.extraction_id
        return None

    def admits(self, step: Step) -> bool:
        """Whether a step is of a task that has not ended."""
        if step.task in self._ended:
            return False
        if step.task != step.entity and step.entity not in self._current:
            self._begin(step.entity, step.task)
        return True

    def _begin(self, model_id: str, task: str) -> None:
        self._current[model_id] = task
        self._current.move_to_end(model_id)
        while len(self._current) > self._remember:
            self._current.popitem(last=False)

    def _end(self, task: str | None) -> None:
        if task is None:
            return
        self._ended[task] = None
        while len(self._ended) > self._remember:
            self._ended.popitem(last=False)
