"""Five hundred steps on a real device, as they come: what the policy promises, the device keeps."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mistudio_capture import capture_shard
from mistudio_contracts.errors import InsufficientMemory, StatusConflict
from mistudio_contracts.values import Artifact, ResidencyWish
from mistudio_extractor.services.arrivals import Resident
from mistudio_testkit.models import make_model

from .room import Room
from .support import Disk

STEPS = 500
FITTING = 2.5
"""So many models fit the budget at once, of four."""

WIDTHS = {"m_a": 256, "m_b": 256, "m_c": 320, "m_d": 384}


Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Lease:
    """An extraction under way: it captures, then holds the model until told to end."""

    model_id: str
    got: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("models")
    return {
        name: make_model(home / name, "gpt2", n_embd=width, n_layer=6, n_head=8)
        for name, width in WIDTHS.items()
    }


class Driver:
    """Does one thing after the other to a room and checks it after each."""

    def __init__(self, disk: Disk, artifacts: dict[str, Artifact], seed: int) -> None:
        self.disk, self.artifacts, self.random = disk, artifacts, random.Random(seed)
        self.budget = int(disk.settings.gpu_memory_limit_gb * 1024**3)
        self.room = Room(disk)
        self.asks: dict[str, asyncio.Task[str]] = {}
        self.leases: dict[str, Lease] = {}
        self.pinned: set[str] = set()
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.crashes = 0
        self.count = 0

    async def step(self) -> None:
        moves: list[Work] = [self.release, self.pin]
        if len(self.asks) < 6:
            moves += [self.load, self.extract, self.extract]
        if self.asks:
            moves += [self.cancel]
        if any(lease.got.is_set() for lease in self.leases.values()):
            moves += [self.end, self.end]
        if self.random.random() < 0.01:
            moves = [self.crash]
        await self.random.choice(moves)()
        # Some steps come close upon another, others find their work done.
        for _ in range(self.random.choice([0, 1, 5, 50])):
            await asyncio.sleep(0)
        if self.random.random() < 0.5 and self.waiting():
            await asyncio.wait(self.waiting(), timeout=0.1, return_when="FIRST_COMPLETED")
        self.check()

    def check(self) -> None:
        there = set(self.room.names())
        assert self.room.residency.used_bytes() <= self.budget
        for lease in self.leases.values():
            if lease.got.is_set():
                assert lease.model_id in there, "it is leased"

    def waiting(self) -> list[asyncio.Task[str]]:
        """Who waits for the device and not for us."""
        held = {task for task, lease in self.leases.items() if lease.got.is_set()}
        return [ask for task, ask in self.asks.items() if task not in held]

    def model(self) -> str:
        return self.random.choice(sorted(self.artifacts))

    def task(self) -> str:
        self.count += 1
        return f"task_{self.count}"

    def start(self, task: str, work: Work) -> None:
        async def told() -> str:
            try:
                await work()
            except (InsufficientMemory, StatusConflict) as error:
                return str(error.details["reason"])
            return "ok"

        def done(ended: asyncio.Task[str]) -> None:
            self.asks.pop(task, None)
            self.leases.pop(task, None)
            self.outcomes["crashed" if ended.cancelled() else ended.result()] += 1

        self.asks[task] = asyncio.create_task(told())
        self.asks[task].add_done_callback(done)

    async def load(self) -> None:
        name, task = self.model(), self.task()

        async def work() -> None:
            await self.room.residency.place(name, task, self.artifacts[name])

        self.start(task, work)

    async def extract(self) -> None:
        name, task = self.model(), self.task()
        lease = self.leases[task] = Lease(name)

        async def work() -> None:
            held = self.room.residency.lease(name, task, self.artifacts[name])
            async with held as resident:
                lease.got.set()
                await self.room.device.run(lambda: capture(resident))
                await lease.end.wait()
                lease.got.clear()

        self.start(task, work)

    async def end(self) -> None:
        held = [lease for lease in self.leases.values() if lease.got.is_set()]
        self.random.choice(held).end.set()

    async def release(self) -> None:
        # Not awaited: it ends with the last lease.
        name = self.model()
        self.pinned.discard(name)
        task = self.task()
        self.start(task, lambda: self.room.residency.release(name))

    async def pin(self) -> None:
        name = self.model()
        wish = ResidencyWish(pinned=self.random.random() < 0.3 and len(self.pinned) < 1)
        self.room.residency.wish({name: wish})
        if wish.pinned:
            self.pinned.add(name)
        else:
            self.pinned.discard(name)

    async def cancel(self) -> None:
        self.room.residency.call_off(self.random.choice(sorted(self.asks)))

    async def crash(self) -> None:
        """The process ends; the next starts with an empty device."""
        ending = list(self.asks.values())
        for each in ending:
            each.cancel()
        if ending:
            await asyncio.wait(ending)
        await self.close()
        self.crashes += 1
        self.pinned.clear()
        self.room = Room(self.disk)
        await self.room.start()

    async def close(self) -> None:
        await self.room.close()
        self.reasons.update(reason for _, _, reason, _ in self.room.left)

    async def finish(self) -> None:
        """End every lease and unpin every model: then nobody may wait any longer."""
        self.room.residency.wish(dict.fromkeys(self.artifacts, ResidencyWish()))
        while self.asks:
            for lease in self.leases.values():
                lease.end.set()
            done, _ = await asyncio.wait(
                self.asks.values(), timeout=30, return_when="FIRST_COMPLETED"
            )
            assert done, f"nobody serves {sorted(self.asks)}"
        await self.close()


def capture(resident: Resident) -> None:
    ids = np.arange(1, 33, dtype=np.int32)
    offsets = np.array([0, 16, 32], dtype=np.int64)
    rows: list[int] = []
    capture_shard(
        resident.model,
        ids,
        offsets,
        ["layers.2.resid_post"],
        lambda _point, _row, found: rows.append(len(found)),
        token_budget=16,
        dtype=torch.float32,
    )
    assert sum(rows) == 32


@pytest.mark.nightly("five hundred steps")
async def test_five_hundred_steps_never_exceed_the_budget_nor_take_a_leased_model(
    disk: Disk, paths: dict[str, Path]
) -> None:
    artifacts = {name: disk.artifact(path) for name, path in paths.items()}
    largest = max(each.bytes for each in artifacts.values())
    disk.extra["gpu_memory_limit_gb"] = FITTING * largest / 1024**3
    driver = Driver(disk, artifacts, seed=1)
    await driver.room.start()
    for _ in range(STEPS):
        await driver.step()
    await driver.finish()
    assert driver.outcomes["ok"] > STEPS / 10
    assert driver.reasons["lru"] > 0
    assert driver.crashes > 0
