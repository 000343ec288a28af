"""An extractor's memory is that of a shard, however many samples there are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

import mistudio_activations
from mistudio_contracts import subjects
from mistudio_contracts.reports import (
    ExtractionCommittedReport,
    ExtractionPlannedReport,
    ShardCapturedReport,
)
from mistudio_contracts.values import Artifact
from mistudio_contracts.work import PlanExtraction
from mistudio_testkit.models import ragged_texts

from .bus import Catalog
from .support import Disk, commit_order, plan_order, shard_order
from .test_process import process

SHARD_TOKENS = 1000
"""So that a hundred samples fill shards too: what differs is how many shards there are."""

MORE = 1.05


@pytest.fixture
async def catalog(nats_url: str, disk: Disk) -> AsyncIterator[Catalog]:
    disk.url = nats_url
    client = await nats.connect(nats_url)
    found = Catalog(client)
    await found.listen()
    yield found
    await client.close()


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had, file maps included."""
    status = Path(f"/proc/{pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


async def extract(catalog: Catalog, order: PlanExtraction) -> ExtractionCommittedReport:
    """Plan in parts and capture each as the catalog does, then commit."""
    part: ExtractionPlannedReport | None = None
    reports = []
    while part is None or part.next is not None:
        begin = part.next if part else None
        asked = order.model_copy(update={"begin": begin, "most_shards": 64})
        first = begin.shards if begin else 0
        await catalog.order(subjects.WORK_PLAN, asked)
        part = await catalog.report(ExtractionPlannedReport, task_id=order.task_id, first=first)
        reports.append(part)
        for shard in part.shards:
            await catalog.order(subjects.WORK_SHARD, shard_order(order, shard))
        last = part.shards[-1].index
        await catalog.report(ShardCapturedReport, task_id=order.task_id, shard_index=last)
    whole = part.model_copy(update={"first": 0, "cuts": [c for r in reports for c in r.cuts]})
    await catalog.order(subjects.WORK_COMMIT, commit_order(order, whole))
    return await catalog.report(ExtractionCommittedReport, task_id=order.task_id)


@pytest.mark.nightly("ten thousand samples")
async def test_ten_thousand_samples_take_no_more_memory_than_a_hundred(
    catalog: Catalog, disk: Disk, tiny: Artifact
) -> None:
    texts = [f"{number} {text}" for number, text in enumerate(ragged_texts(10_000, longest=4))]
    order = plan_order(tiny, disk.dataset(texts), shard_tokens=SHARD_TOKENS)
    few = plan_order(tiny, disk.dataset(texts[:100]), shard_tokens=SHARD_TOKENS)
    async with process(disk) as extractor:
        await extract(catalog, few)
        small = peak_bytes(extractor.pid)
        committed = await extract(catalog, order)
        large = peak_bytes(extractor.pid)
    store = mistudio_activations.open(committed.storage_path)
    assert store.samples == 10_000
    assert len(store.manifest.tokens) > 50 * len(
        mistudio_activations.open(disk.store(few)).manifest.tokens
    )
    assert large <= MORE * small, f"{small / 1e6:.0f} MB, then {large / 1e6:.0f} MB"
