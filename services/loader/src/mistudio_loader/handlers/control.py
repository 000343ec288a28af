"""Broadcasts to every loader of the pool."""

from __future__ import annotations

from mistudio_contracts.rpc import CancelWork
from mistudio_servicekit.cancellation import Cancellations


class ControlHandlers:
    """Each method handles one subject."""

    def __init__(self, cancellations: Cancellations) -> None:
        self._cancellations = cancellations

    async def cancel(self, message: CancelWork) -> None:
        self._cancellations.cancel(message.task_ids)
