"""Which artifacts loads have asked for, against removals that come late."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from datetime import datetime

from mistudio_contracts.errors import ModelLoadFailed
from mistudio_loader.storage.staging import Workshop

logger = logging.getLogger(__name__)

REMEMBERED = 10_000


class Wanted:
    """Keeps a removal from taking what a load that was ordered after it has found.

    The catalog orders a removal while no load could be about to refer to the artifact. Loads and
    removals wait in lines of their own, though: where one of these is held up, a load that was
    ordered later may find the artifact first. Which was ordered later is told by the times at which
    the bus took the two, by its one clock. Loaders in several processes over one directory do not
    know of each other's loads.

    Parameters
    ----------
    workshop
        Where the artifacts are.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._since: OrderedDict[str, datetime] = OrderedDict()
        self._lock = asyncio.Lock()

    async def found(self, fingerprint: str, ordered_at: datetime) -> None:
        """Note that a load ordered then is about to tell of an artifact.

        Raises
        ------
        ModelLoadFailed
            Transient, ``reason`` ``artifact_missing``: it was removed since the load found it.
        """
        async with self._lock:
            if not (self._workshop.root / fingerprint).is_dir():
                raise ModelLoadFailed(
                    "The prepared model was removed while the load found it.",
                    transient=True,
                    reason="artifact_missing",
                    remedy="Load the model again.",
                )
            self._since[fingerprint] = max(ordered_at, self._since.pop(fingerprint, ordered_at))
            while len(self._since) > REMEMBERED:
                self._since.popitem(last=False)

    async def remove(self, fingerprint: str, ordered_at: datetime) -> None:
        """Delete an artifact unless a load ordered later has found it.

        One that is not there is as good as deleted.
        """
        async with self._lock:
            if self._since.get(fingerprint, ordered_at) > ordered_at:
                logger.info("a load found the artifact after its removal was ordered")
                return
            await asyncio.to_thread(self._workshop.remove, fingerprint)
