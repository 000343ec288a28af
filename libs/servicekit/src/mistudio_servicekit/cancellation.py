"""Tasks that the catalog has voided."""

from collections import OrderedDict
from collections.abc import Callable, Iterable

_REMEMBERED = 10_000


class Cancellations:
    """Remembers voided tasks and tells those who work on them.

    A cancel may arrive before its order does, so that voided tasks are remembered for a while.
    """

    def __init__(self) -> None:
        self._void: OrderedDict[str, None] = OrderedDict()
        self._listeners: list[Callable[[str], None]] = []

    def on_cancel(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with each task that is voided."""
        self._listeners.append(listener)

    def cancel(self, task_ids: Iterable[str]) -> None:
        """Void tasks."""
        for task_id in task_ids:
            self._void[task_id] = None
            self._void.move_to_end(task_id)
            for listener in self._listeners:
                listener(task_id)
        while len(self._void) > _REMEMBERED:
            self._void.popitem(last=False)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._void
