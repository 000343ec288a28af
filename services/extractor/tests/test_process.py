"""The extractor as a process: killed at work, told to end, started fast."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import psutil
import pytest

from mistudio_contracts import new_id, subjects
from mistudio_contracts.reports import (
    ExtractionCommittedReport,
    ExtractionWorkFailedReport,
    ModelEvictedReport,
    ModelPlacedReport,
    ShardCapturedReport,
)
from mistudio_contracts.rpc import CancelWork, ReleaseModel
from mistudio_contracts.values import Artifact
from mistudio_extractor.factory import create_app
from mistudio_extractor.services.capturing import Capturing
from mistudio_servicekit.testing import running
from mistudio_testkit.bus import until
from mistudio_testkit.models import make_model, ragged_texts

from .bus import Catalog
from .support import Disk, commit_order, place_order, plan_order, shard_order


@pytest.fixture
async def catalog(nats_url: str, disk: Disk) -> AsyncIterator[Catalog]:
    disk.url = nats_url
    client = await nats.connect(nats_url)
    found = Catalog(client)
    await found.listen()
    yield found
    await client.close()


@contextlib.asynccontextmanager
async def process(disk: Disk) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python -m mistudio_extractor``; killed at the end if it still lives."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mistudio_extractor", env={**os.environ, **disk.environment}
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@pytest.mark.nightly("two processes that import torch")
async def test_a_shard_outlives_a_kill_with_the_same_checksums(
    catalog: Catalog, disk: Disk, wide: Path
) -> None:
    artifact, dataset = disk.artifact(wide), disk.dataset(ragged_texts(120))
    order = plan_order(artifact, dataset)
    async with process(disk) as first:
        planned = await catalog.plan(order)
        shard = planned.shards[0]
        await catalog.order(subjects.WORK_SHARD, shard_order(order, shard, batch_size=1))
        await until(lambda: any(live.samples_done > 0 for live in catalog.progress))
        first.send_signal(signal.SIGKILL)
        await first.wait()
        assert catalog.of(ShardCapturedReport) == []
        assert disk.left_over(), "it died in the middle"
    async with process(disk) as second:
        captured = await catalog.report(ShardCapturedReport, task_id=order.task_id)
        commit = commit_order(order, planned)
        await catalog.order(subjects.WORK_COMMIT, commit)
        await catalog.report(ExtractionCommittedReport, task_id=order.task_id)
        undisturbed = plan_order(artifact, dataset, task_id="task_undisturbed")
        again = shard_order(undisturbed, shard, batch_size=1)
        await catalog.order(subjects.WORK_SHARD, again)
        same = await catalog.report(ShardCapturedReport, task_id="task_undisturbed")
        assert same.files == captured.files
        assert disk.left_over() == []
        ids = {beat.device_id for beat in catalog.beats}
        assert len(ids) == 1, "the device is the same"
        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), 30) == 0


@pytest.mark.nightly("two processes that import torch")
async def test_told_to_end_at_work_it_ends_in_order_and_the_next_takes_over(
    catalog: Catalog, disk: Disk, wide: Path
) -> None:
    # So many forward passes that no grace is long enough for them.
    different = [[1 + i % 400, 1 + i // 400] for i in range(20_000)]
    dataset = disk.dataset(different, "input_ids")
    order = plan_order(
        disk.artifact(wide), dataset, column="input_ids", hook_points=["layers.5.resid_post"]
    )
    async with process(disk) as first:
        planned = await catalog.plan(order)
        await catalog.order(
            subjects.WORK_SHARD, shard_order(order, planned.shards[0], batch_size=1)
        )
        await until(lambda: any(live.samples_done > 0 for live in catalog.progress))
        first.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(first.wait(), 30) == 0
    assert catalog.of(ShardCapturedReport) == []
    assert catalog.of(ExtractionWorkFailedReport) == [], "nothing is wrong with the extraction"
    assert disk.left_over() == [], "it took its half-written file away"
    catalog.progress.clear()
    async with process(disk):
        await until(lambda: any(live.samples_done > 0 for live in catalog.progress))
        await catalog.tell(subjects.CONTROL_CANCEL, CancelWork(task_ids=[order.task_id]))
        await catalog.settled(subjects.WORK_SHARD)
    assert catalog.of(ExtractionWorkFailedReport) == []


async def test_a_poisoned_device_hands_its_shard_to_the_next_process(
    catalog: Catalog, disk: Disk, tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = plan_order(tiny, disk.dataset(ragged_texts(20)))
    exits: list[int] = []
    with monkeypatch.context() as patch:

        def poisoned(*_: object) -> None:
            raise RuntimeError("CUDA error: device-side assert triggered")

        async with running(create_app(disk.settings, exits.append)):
            planned = await catalog.plan(order)
            patch.setattr(Capturing, "capture", poisoned)
            await catalog.order(subjects.WORK_SHARD, shard_order(order, planned.shards[0]))
            await until(lambda: exits == [70])
    assert catalog.of(ShardCapturedReport) == []
    async with running(create_app(disk.settings)):
        await catalog.report(ShardCapturedReport, task_id=order.task_id)


def test_it_is_wired_and_knows_its_device_before_torch_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from mistudio_extractor.config import ExtractorSettings\n"
        "from mistudio_extractor.factory import create_app\n"
        "from mistudio_extractor.services.device import Device\n"
        "create_app(ExtractorSettings())\n"
        "facts = Device(ExtractorSettings()).known_facts()\n"
        "assert facts.kind in ('cpu', 'cuda', 'tegra'), facts\n"
        "assert facts.memory_total_bytes > 0\n"
        "slow = {'torch', 'transformers', 'tokenizers'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is written before the start"


@pytest.mark.nightly("fifty loads")
async def test_fifty_loads_and_unloads_leave_memory_where_it_was(
    catalog: Catalog, disk: Disk, tmp_path: Path
) -> None:
    artifact = disk.artifact(make_model(tmp_path / "gpt2", "gpt2", n_embd=256, n_layer=4))
    async with process(disk) as extractor:
        memory = psutil.Process(extractor.pid)

        async def load_and_unload() -> int:
            order = place_order(artifact)
            await catalog.order(subjects.WORK_PLACE, order)
            placed = await catalog.report(ModelPlacedReport, task_id=order.task_id)
            release = ReleaseModel(task_id=new_id("task"), model_id=order.model_id)
            await catalog.tell(subjects.CONTROL_RELEASE, release)
            left = await catalog.report(ModelEvictedReport, model_id=order.model_id)
            assert left.freed_bytes == placed.memory_usage_bytes
            return int(memory.memory_info().rss)

        # The first brings in its family's code, which stays.
        before = await load_and_unload()
        for _ in range(49):
            after = await load_and_unload()
    assert abs(after - before) < 0.05 * before
