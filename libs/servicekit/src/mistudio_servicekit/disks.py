"""The disks that a service writes to: how large they are and what they have left."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from .metering import Meters, fresh


class Disks:
    """Looks at disks when somebody looks at the metrics.

    Parameters
    ----------
    meters
        Where the figures are shown.
    directories
        By what is kept there. Several of them may be on one disk.
    """

    def __init__(self, meters: Meters, directories: Mapping[str, Path]) -> None:
        self._directories = directories
        self._size = meters.gauge(
            "mistudio_disk_size_bytes",
            "Size of the disk that keeps the service's files.",
            root=tuple(directories),
        )
        self._available = meters.gauge(
            "mistudio_disk_available_bytes",
            "What that disk has left for the service.",
            root=tuple(directories),
        )

    async def measure(self) -> None:
        """Read the figures.

        Raises
        ------
        OSError
            When a directory cannot be looked at.
        """
        with fresh(self._size, self._available):
            for root, directory in self._directories.items():
                # On a thread: a disk in the network may not answer.
                usage = await asyncio.to_thread(shutil.disk_usage, directory)
                self._size.labels(root).set(usage.total)
                self._available.labels(root).set(usage.free)
