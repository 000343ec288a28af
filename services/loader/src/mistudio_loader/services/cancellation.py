"""Tasks that the catalog has voided."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from .children import Children

_REMEMBERED = 10_000


class Cancellations:
    """Remembers voided tasks and ends the work on them.

    A cancel may arrive before its order does, so that voided tasks are remembered for a while.
    """

    def __init__(self, children: Children) -> None:
        self._children = children
        self._void: OrderedDict[str, None] = OrderedDict()

    def cancel(self, task_ids: Iterable[str]) -> None:
        """Void tasks and kill their child processes."""
        for task_id in task_ids:
            self._void[task_id] = None
            self._void.move_to_end(task_id)
            self._children.kill(task_id)
        while len(self._void) > _REMEMBERED:
            self._void.popitem(last=False)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._void
