"""Models on the device: memory that runs out, leases, and departures that are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mistudio_capture import CaptureModel, capture_shard
from mistudio_contracts.errors import (
    InsufficientMemory,
    ModelLoadFailed,
    ModelTooLarge,
    ServiceUnavailable,
    StatusConflict,
)
from mistudio_contracts.reports import ModelEvictedReport
from mistudio_contracts.values import Artifact, ResidencyWish
from mistudio_extractor.domain.memory import is_out_of_memory, is_poison
from mistudio_extractor.services import arrivals as arrivals_module
from mistudio_extractor.services.device import POISONED
from mistudio_extractor.services.live import Beat
from mistudio_extractor.services.models import load
from mistudio_extractor.services.reporting import Departures
from mistudio_testkit.bus import until

from .room import Room
from .support import Disk


@pytest.fixture
async def room(disk: Disk, tiny: Artifact) -> AsyncIterator[Room]:
    made = Room(disk)
    await made.start()
    yield made
    await made.close()


def short_of_memory(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Let the next loads end as on a full device."""
    tried: list[str] = []

    def failing(directory: Any, torch_device: str, offload_blocks: int) -> Any:
        tried.append(torch_device)
        if len(tried) <= times:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return load(directory, torch_device, offload_blocks)

    monkeypatch.setattr(arrivals_module, "load", failing)
    return tried


async def test_a_model_that_is_there_is_not_brought_in_twice(
    room: Room, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = short_of_memory(monkeypatch, times=0)
    first, second = await asyncio.gather(
        room.residency.place("m_one", "task_1", tiny), room.residency.place("m_one", "task_2", tiny)
    )
    assert first is second
    assert len(loads) == 1
    await room.residency.release("m_one")
    assert [task for _, task, _, _ in room.left] == ["task_2"], "whoever asked last is told"


async def test_bytes_are_those_of_the_weights_that_are_there(room: Room, tiny: Artifact) -> None:
    resident = await room.residency.place("m_one", "task_1", tiny)
    tensors = [*resident.model.decoder.parameters(), *resident.model.decoder.buffers()]
    weights = sum(tensor.nbytes for tensor in tensors)
    assert resident.memory_bytes == weights
    assert room.residency.used_bytes() == weights
    await room.residency.release("m_one", "task_out")
    assert room.left == [("m_one", "task_out", "requested", weights)]
    assert room.residency.used_bytes() == 0


async def test_another_artifact_of_a_model_takes_the_place_of_the_first(
    room: Room, disk: Disk, tiny: Artifact, tiny_model: Any
) -> None:
    other = disk.artifact(tiny_model("llama"))
    await room.residency.place("m_one", "task_1", tiny)
    await room.residency.place("m_one", "task_2", other)
    assert [r.fingerprint for r in room.residency.residents()] == [other.fingerprint]
    assert [(m, t) for m, t, _, _ in room.left] == [("m_one", "task_1")]


async def test_a_lease_brings_its_model_in_by_itself(room: Room, tiny: Artifact) -> None:
    async with room.residency.lease("m_one", "task_1", tiny):
        assert room.leases() == 1
    await until(lambda: room.leases() == 0)
    assert room.names() == ["m_one"], "it stays for the next"


async def test_a_lease_makes_its_model_the_last_to_leave(disk: Disk, tiny: Artifact) -> None:
    room = Room(disk, most=2)
    await room.start()
    await room.residency.place("m_old", "task_1", tiny)
    await room.residency.place("m_young", "task_2", tiny)
    async with room.residency.lease("m_old", "task_3", tiny):
        pass
    await room.residency.place("m_new", "task_4", tiny)
    assert room.names() == ["m_old", "m_new"]
    assert [(m, t, r) for m, t, r, _ in room.left] == [("m_young", "task_2", "lru")]
    await room.close()


async def test_with_every_model_at_work_a_newcomer_waits_for_the_first_that_ends(
    disk: Disk, tiny: Artifact
) -> None:
    room = Room(disk, most=1)
    await room.start()
    async with room.residency.lease("m_busy", "task_1", tiny):
        waiting = asyncio.create_task(room.residency.place("m_new", "task_2", tiny))
        await until(lambda: room.residency.is_waiting("task_2"))
        assert room.names() == ["m_busy"]
        assert room.left == []
    await waiting
    assert room.names() == ["m_new"]
    assert [(m, r) for m, _, r, _ in room.left] == [("m_busy", "lru")]
    await room.close()


async def test_a_wait_that_is_called_off_ends_and_changes_nothing(
    disk: Disk, tiny: Artifact
) -> None:
    room = Room(disk, most=1)
    await room.start()
    async with room.residency.lease("m_busy", "task_1", tiny):
        waiting = asyncio.create_task(room.residency.place("m_new", "task_2", tiny))
        await until(lambda: room.residency.is_waiting("task_2"))
        room.residency.call_off("task_2")
        with pytest.raises(StatusConflict):
            await waiting
        ended = asyncio.create_task(room.residency.place("m_other", "task_3", tiny))
        await until(lambda: room.residency.is_waiting("task_3"))
        ended.cancel()
        await asyncio.wait([ended])
    await until(lambda: room.leases() == 0)
    assert room.names() == ["m_busy"]
    assert room.left == []
    await room.close()


async def test_pinned_models_refuse_a_newcomer_at_once_and_by_name(
    disk: Disk, tiny: Artifact
) -> None:
    room = Room(disk, most=1)
    await room.start()
    await room.residency.place("m_kept", "task_1", tiny, ResidencyWish(pinned=True))
    with pytest.raises(InsufficientMemory) as caught:
        await room.residency.place("m_new", "task_2", tiny)
    assert caught.value.details["reason"] == "all_pinned"
    assert caught.value.details["pinned_models"] == ["m_kept"]
    assert [r.pinned for r in room.residency.residents()] == [True]
    room.residency.wish({"m_kept": ResidencyWish()})
    await room.residency.place("m_new", "task_3", tiny)
    assert room.names() == ["m_new"]
    await room.close()


async def test_a_model_that_nobody_uses_leaves_when_its_keep_alive_is_over(
    room: Room, tiny: Artifact
) -> None:
    wish = ResidencyWish(keep_alive_seconds=0.05)
    await room.residency.place("m_short", "task_1", tiny, wish)
    await room.residency.place("m_long", "task_2", tiny)
    await until(lambda: bool(room.left))
    assert room.names() == ["m_long"]
    assert [(m, t, r) for m, t, r, _ in room.left] == [("m_short", "task_1", "keep_alive")]


async def test_what_this_process_holds_beside_its_models_counts_against_the_budget(
    disk: Disk, tiny: Artifact
) -> None:
    disk.extra["gpu_memory_limit_gb"] = 0.25
    room = Room(disk)
    await room.start()
    await room.residency.place("m_one", "task_1", tiny)
    hoard = np.ones(300 * 1024 * 1024, dtype=np.uint8)
    with pytest.raises(InsufficientMemory) as caught:
        await room.residency.place("m_two", "task_2", tiny)
    assert caught.value.details["reason"] == "device_memory"
    assert caught.value.details["available_memory_gb"] < 0.25
    assert hoard.any()
    del hoard
    await room.residency.place("m_two", "task_3", tiny)
    assert room.names()[-1] == "m_two"
    await room.close()


async def test_a_model_that_never_fits_runs_with_blocks_on_the_disk_if_that_is_wished(
    disk: Disk, wide: Path
) -> None:
    artifact = disk.artifact(wide)
    budget = artifact.bytes * 6 // 10
    disk.extra["gpu_memory_limit_gb"] = budget / 1024**3
    room = Room(disk)
    await room.start()
    with pytest.raises(ModelTooLarge) as caught:
        await room.residency.place("m_wide", "task_1", artifact)
    assert "offload" in caught.value.details["remedy"]
    wish = ResidencyWish(offload=True)
    resident = await room.residency.place("m_wide", "task_2", artifact, wish)
    assert resident.memory_bytes < budget < artifact.bytes
    whole = CaptureModel.load(disk.directory(artifact))
    assert torch.equal(rows(resident.model), rows(whole)), "bit for bit"
    await room.close()


def rows(model: CaptureModel) -> torch.Tensor:
    found: list[torch.Tensor] = []
    capture_shard(
        model,
        np.arange(1, 33, dtype=np.int32),
        np.array([0, 20, 32], dtype=np.int64),
        ["layers.5.resid_post"],
        lambda _point, _row, part: found.append(part.clone()),
        token_budget=32,
        dtype=torch.float32,
    )
    return torch.cat(found)


async def test_an_arrival_that_failed_leaves_the_place_free(
    room: Room, disk: Disk, tiny: Artifact
) -> None:
    lost = tiny.model_copy(update={"fingerprint": "0" * 32})
    with pytest.raises(ModelLoadFailed) as caught:
        await room.residency.place("m_one", "task_1", lost)
    assert caught.value.details["reason"] == "artifact_missing"
    assert room.names() == []
    await room.residency.place("m_one", "task_2", tiny)
    assert room.names() == ["m_one"]


async def test_out_of_memory_sends_idle_models_away_and_tries_again(
    room: Room, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.residency.place("m_idle", "task_1", tiny)
    tried = short_of_memory(monkeypatch, times=1)
    await room.residency.place("m_new", "task_2", tiny)
    assert len(tried) == 2
    assert room.names() == ["m_new"]
    assert [(m, t, r) for m, t, r, _ in room.left] == [("m_idle", "task_1", "lru")]


async def test_out_of_memory_with_nobody_to_send_away_is_insufficient_memory(
    room: Room, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = short_of_memory(monkeypatch, times=9)
    with pytest.raises(InsufficientMemory) as caught:
        await room.residency.place("m_new", "task_1", tiny)
    assert len(tried) == 1, "the same attempt is not made twice in vain"
    assert not caught.value.transient
    assert caught.value.details["required_memory_gb"] >= 0
    assert "available_memory_gb" in caught.value.details
    assert room.names() == []


async def test_a_leased_model_stays_when_memory_runs_out(
    room: Room, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room.residency.lease("m_busy", "task_1", tiny):
        short_of_memory(monkeypatch, times=9)
        with pytest.raises(InsufficientMemory):
            await room.residency.place("m_new", "task_2", tiny)
        assert room.names() == ["m_busy"]


async def test_a_released_model_leaves_with_its_last_lease(room: Room, tiny: Artifact) -> None:
    async with room.residency.lease("m_busy", "task_1", tiny):
        await room.residency.release("m_busy", "task_out")
        assert room.names() == ["m_busy"]
    await until(lambda: bool(room.left))
    assert room.names() == []
    assert [(t, r) for _, t, r, _ in room.left] == [("task_out", "requested")]


async def test_a_model_that_is_placed_again_meanwhile_stays(room: Room, tiny: Artifact) -> None:
    async with room.residency.lease("m_busy", "task_1", tiny):
        await room.residency.release("m_busy", "task_out")
        await room.residency.place("m_busy", "task_2", tiny)
    assert room.names() == ["m_busy"]
    assert room.left == []


async def test_a_poisoned_device_ends_the_process_after_its_message_went_back(room: Room) -> None:
    def broken() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(ServiceUnavailable) as caught:
        await room.device.run(broken)
    assert caught.value.transient, "the message comes again, to the next process"
    with pytest.raises(ServiceUnavailable):
        await room.device.run(lambda: None)
    await until(lambda: room.exits == [POISONED])


@pytest.mark.parametrize(
    ("error", "memory", "poison"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True, False),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True, False),
        (MemoryError(), True, False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("shapes cannot be multiplied"), False, False),
        (ValueError("CUDA error"), False, False),
    ],
)
def test_failures_of_the_device_are_told_apart(
    error: BaseException, memory: bool, poison: bool
) -> None:
    assert (is_out_of_memory(error), is_poison(error)) == (memory, poison)


class FlakyPublisher:
    """The edge: a bus that is away at first."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.kept: list[tuple[str, str]] = []

    async def publish(self, subject: Any, message: Any, *, entity_id: str, msg_id: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("away")
        self.kept.append((entity_id, msg_id))


async def test_a_departure_is_told_until_the_bus_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mistudio_extractor.services.reporting.AGAIN_AFTER", 0.01)
    publisher: Any = FlakyPublisher(failures=3)
    departures = Departures(publisher)
    await departures.start()
    for name in ("m_a", "m_b"):
        departures.tell(
            ModelEvictedReport(
                task_id="task_1", model_id=name, device_id="dev_1", reason="lru", freed_bytes=1
            )
        )
    await until(lambda: len(publisher.kept) == 2)
    await departures.stop()
    assert [name for name, _ in publisher.kept] == ["m_a", "m_b"]
    assert len({msg_id for _, msg_id in publisher.kept}) == 2


async def test_progress_is_repeated_while_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mistudio_extractor.services.live.LOOK", 0.01)
    monkeypatch.setattr("mistudio_extractor.services.live.EVERY_SECONDS", 0.02)
    sent: list[float] = []

    async def send(figure: float) -> None:
        sent.append(figure)

    async with Beat(send, 100) as beat:
        beat.tell(40)
        await until(lambda: sent.count(40) >= 3)


async def test_progress_is_told_at_each_share_and_at_the_end() -> None:
    sent: list[float] = []

    async def send(figure: float) -> None:
        sent.append(figure)

    async with Beat(send, 100) as beat:
        for figure in range(1, 101):
            await asyncio.to_thread(beat.tell, figure)
            await asyncio.sleep(0)
    steps = [b - a for a, b in zip([0, *sent], [*sent, 100], strict=False)]
    assert sent == sorted(sent)
    assert sent[-1] == 100
    assert max(steps) <= 10


async def test_progress_that_cannot_be_told_never_ends_the_work() -> None:
    async def send(figure: float) -> None:
        raise ServiceUnavailable("away")

    async with Beat(send, 10) as beat:
        beat.tell(10)


async def test_progress_that_is_told_seldom_is_not_told_of_short_work() -> None:
    told: list[float] = []

    async def send(figure: float) -> None:
        told.append(figure)

    async with Beat(send, 10, least_seconds=3600.0) as beat:
        beat.tell(5)
    assert told == []
