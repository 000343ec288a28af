"""The loop that moves whatever can move, woken by changes and by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from mistudio_contracts.errors import MiStudioError
from mistudio_servicekit.tasks import cancel

log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[object]]


class Driver:
    """Runs its steps again and again, one pass at a time.

    Every step looks at the rows and moves what it finds, so nothing depends on which process
    noticed a change, and a pass that fails is made good by the next.

    Parameters
    ----------
    name
        For the log.
    steps
        Run in order; a failing one does not keep the others from running.
    every
        Seconds between passes that nobody asked for.
    """

    def __init__(self, name: str, steps: list[Step], every: float) -> None:
        self._name = name
        self.steps = steps
        self._every = every
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Ask for a pass now."""
        self._woken.set()

    async def start(self) -> None:
        """Begin; the first pass comes at once."""
        self._woken.set()
        self._task = asyncio.create_task(self._run(), name=f"driver-{self._name}")

    async def stop(self) -> None:
        """End; the step under way is rolled back."""
        await cancel(self._task)
        self._task = None

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._every)
            self._woken.clear()
            await self.settle()

    async def settle(self) -> None:
        """Make one pass."""
        for step in self.steps:
            try:
                await step()
            except MiStudioError as error:
                log.warning(
                    "A pass is left to the next one.",
                    extra={"driver": self._name, "error": error.message},
                )
            except Exception:
                log.exception("A step failed.", extra={"driver": self._name})
