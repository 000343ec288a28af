"""A child that dies takes nothing along, and its end is told in words."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mistudio_contracts import Quantization, Source
from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import InvalidInput, ModelLoadFailed
from mistudio_contracts.work import PrepareModel
from mistudio_loader.config import LoaderSettings
from mistudio_loader.jobs import IngestJob
from mistudio_loader.services.children import KEPT_FROM_CHILDREN, Children, environment
from mistudio_loader.services.models import Models
from mistudio_loader.storage.staging import Workshop
from mistudio_servicekit.cancellation import Cancellations

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


class EndsTheChild:
    """Stands where the bus is: at the first word of a child it sends it a signal."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number
        self.sent: list[int] = []

    async def publish(self, *_: Any, **__: Any) -> None:
        for child in psutil.Process().children():
            if child.pid not in self.sent and _is_ours(child):
                self.sent.append(child.pid)
                os.kill(child.pid, self.number)


def _is_ours(child: psutil.Process) -> bool:
    try:
        return "mistudio_loader.child" in child.cmdline()
    except psutil.NoSuchProcess:  # Also of one that has ended and was not waited for yet.
        return False


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "ended from outside"), (signal.SIGABRT, "crashed")],
)
def test_the_end_of_a_child_is_a_passing_failure_with_its_cause(
    checkpoint: Any, zeros: Any, roots: Path, cache: Path, number: signal.Signals, words: str
) -> None:
    zeros(checkpoint("gpt2"), 2**29)
    bus: Any = EndsTheChild(number)
    settings = LoaderSettings(model_cache_dir=cache, local_roots=str(roots))
    cancellations = Cancellations()
    workshop = Workshop(cache)
    models = Models(settings, workshop, Children(cancellations), cancellations, bus)
    order = PrepareModel(
        task_id="task_1",
        model_id="m_1",
        source=Source.LOCAL,
        model_identifier="gpt2",
        quantization=Quantization.FP16,
    )
    with pytest.raises(ModelLoadFailed) as caught:
        asyncio.run(models.prepare(order, utcnow()))
    assert bus.sent
    error = caught.value
    assert error.transient
    assert (error.details["reason"], error.details["returncode"]) == ("child_died", -number)
    assert words in error.message
    assert "memory" in error.details["remedy"]
    workshop.sweep()
    assert [p for p in cache.rglob("*") if p.is_file()] == []


async def test_a_file_that_unpacks_to_more_than_memory_is_refused(
    cache: Path, tmp_path: Path
) -> None:
    """A few kilobytes of Parquet whose one batch of rows would take 64 GB."""
    bomb = tmp_path / "bomb.parquet"
    value = pa.DictionaryArray.from_arrays(pa.array([0] * 8192, pa.int32()), ["x" * 2**23])
    pq.write_table(pa.table({"text": value}), bomb, compression="zstd")
    assert bomb.stat().st_size < 100_000
    job = IngestJob(
        task_id="task_1",
        root=cache,
        file=bomb,
        name=bomb.name,
        max_bytes=2**40,
        memory_bytes=2**31,
    )
    with pytest.raises(InvalidInput) as caught:
        await Children().run("task_1", "ingest", job)
    assert caught.value.details["reason"] == "needs_too_much_memory"
    assert [p for p in cache.rglob("*") if p.is_file()] == []  # noqa: ASYNC240


def test_a_child_is_told_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "nobody's business"
    for name in KEPT_FROM_CHILDREN:
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("MISTUDIO_POOL", "lab")
    told = environment()
    assert secret not in told.values()
    assert told["MISTUDIO_POOL"] == "lab"
