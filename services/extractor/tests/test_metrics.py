"""What Prometheus is told of a device: who came, who left and why, and what its memory holds."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest

from mistudio_contracts.errors import ServiceUnavailable
from mistudio_contracts.values import Artifact
from mistudio_extractor.metrics import Metrics
from mistudio_extractor.services.device import Device
from mistudio_extractor.services.gauging import Gauging
from mistudio_servicekit.metering import Meters

from .room import Room
from .support import Disk


@pytest.fixture
async def room(disk: Disk, tiny: Artifact) -> AsyncIterator[Room]:
    made = Room(disk, most=1)
    await made.start()
    yield made
    await made.close()


def told(meters: Meters, name: str, **labels: str) -> float:
    value = meters.registry.get_sample_value(f"mistudio_extractor_{name}", labels)
    assert value is not None, (name, labels)
    return value


async def test_arrivals_departures_and_memory(room: Room, tiny: Artifact) -> None:
    gauging = Gauging(room.device, room.residency, room.metrics)
    await room.residency.place("m_old", "task_1", tiny)
    async with room.residency.lease("m_young", "task_2", tiny) as resident:
        await gauging.measure()
        assert told(room.meters, "resident_models", state="in_use") == 1
    assert told(room.meters, "placements_total", outcome="placed") == 2
    assert told(room.meters, "place_seconds_count") == 2
    assert told(room.meters, "evictions_total", reason="lru") == 1
    assert told(room.meters, "evicted_bytes_total", reason="lru") == resident.memory_bytes
    assert told(room.meters, "evictions_total", reason="requested") == 0

    def memory(kind: str) -> float:
        return told(room.meters, "device_memory_bytes", kind=kind)

    assert memory("models") == resident.memory_bytes
    assert 0 < memory("free") < memory("total")
    assert memory("models") < memory("process") < memory("total")
    assert memory("budget") == room.device.known_facts().memory_budget_bytes
    assert told(room.meters, "waiting_for_room") == 0


async def test_a_model_that_finds_no_memory_is_a_placement_that_failed(
    room: Room, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr("mistudio_extractor.services.arrivals.load", full)
    with pytest.raises(Exception, match="memory"):
        await room.residency.place("m_one", "task_1", tiny)
    assert told(room.meters, "placements_total", outcome="failed") > 0
    assert told(room.meters, "out_of_memory_total") > 0


async def test_of_a_device_that_is_lost_nothing_is_told(room: Room) -> None:
    class Lost(Device):
        async def free_bytes(self) -> int | None:
            raise ServiceUnavailable("The device failed.")

    meters = Meters()
    lost = Lost(room.device._settings)
    with pytest.raises(ServiceUnavailable):
        await Gauging(lost, room.residency, Metrics(meters)).measure()
    assert math.isnan(told(meters, "device_memory_bytes", kind="free"))
