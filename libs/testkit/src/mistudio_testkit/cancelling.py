"""A wait that loses a cancellation, as ``asyncio.wait_for`` may before Python 3.12."""

from __future__ import annotations

import asyncio


class Stubborn:
    """Waits without end, but for returning at the first cancellation instead of being cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._lost = False

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self._lost:
                raise
            self._lost = True
