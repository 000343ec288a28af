"""The ``devices`` table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mistudio_catalog.domain.device import DeviceState

from .queries import queries
from .rows import Rows

_SQL = queries("devices")
_ROWS = Rows(DeviceState)


class DeviceTable:
    """Devices, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def lock(self, device_id: str) -> DeviceState | None:
        """Return the device, which no other transaction changes until this one ends."""
        return _ROWS.maybe(await _SQL.lock_device(self._connection, id=device_id))

    async def save(self, device: DeviceState) -> None:
        await _SQL.save_device(self._connection, **_ROWS.write(device))

    async def all(self) -> list[DeviceState]:
        return [_ROWS.read(row) async for row in _SQL.list_devices(self._connection)]

    async def of_pool(self, pool: str) -> list[DeviceState]:
        return [each for each in await self.all() if each.pool == pool]

    async def online(self, pool: str) -> int:
        """Return how many devices of a pool speak."""
        return int(await _SQL.online_devices(self._connection, pool=pool))

    async def silent(self, before: datetime) -> list[str]:
        """Return the online devices that were last seen before then."""
        return [row["id"] async for row in _SQL.silent_devices(self._connection, before=before)]

    async def set_back(self, now: datetime, beyond: datetime) -> None:
        """Take what was heard after ``beyond``, by a clock since set back, for heard now."""
        await _SQL.set_devices_back(self._connection, now=now, beyond=beyond)
