"""Capture and commit: exact values, the same bytes at each delivery, nothing half-done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import mistudio_activations
from mistudio_contracts import Dtype
from mistudio_contracts.errors import ExtractionFailed, InsufficientStorage
from mistudio_contracts.reports import ExtractionPlannedReport
from mistudio_contracts.values import Artifact, ColumnFile
from mistudio_contracts.work import CaptureShard, PlanExtraction
from mistudio_extractor.services.capturing import Capturing
from mistudio_extractor.services.committing import Committing
from mistudio_extractor.services.hardware import probe
from mistudio_extractor.services.models import load, unload
from mistudio_extractor.services.planning import Planning
from mistudio_extractor.services.sizing import Sizing
from mistudio_extractor.storage.layout import Layout
from mistudio_testkit.models import ragged_texts
from mistudio_testkit.reference import relative_error, resid_post

from .support import POINTS, Disk, commit_order, plan_order, shard_order


class Bench:
    """One model and the real services, called without a bus."""

    def __init__(self, disk: Disk, artifact: Artifact) -> None:
        self.layout = Layout(disk.settings)
        self.facts = probe(disk.settings)
        directory = disk.directory(artifact)
        self.sizing = Sizing.of(directory, artifact, self.facts)
        self.model = load(directory, self.facts.torch_device)
        self.progress: list[int] = []

    def plan(self, order: PlanExtraction) -> ExtractionPlannedReport:
        report = Planning(self.layout).plan(order, lambda: False)
        assert report is not None
        return report

    def capture(
        self, order: CaptureShard, should_stop: Callable[[], bool] = lambda: False
    ) -> list[ColumnFile] | None:
        return Capturing(self.layout).capture(
            order, self.model, self.sizing, self.progress.append, should_stop
        )

    def files(self, order: PlanExtraction, planned: ExtractionPlannedReport) -> list[ColumnFile]:
        found: list[ColumnFile] = []
        for shard in planned.shards:
            if shard.hook_points:
                found += self.capture(shard_order(order, shard)) or []
        return found

    def extract(self, order: PlanExtraction) -> Any:
        planned = self.plan(order)
        self.files(order, planned)
        return Committing(self.layout).commit(commit_order(order, planned))


@pytest.fixture
def bench(disk: Disk, tiny: Artifact) -> Iterator[Bench]:
    made = Bench(disk, tiny)
    yield made
    unload(made.model)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral"])
def test_values_equal_plain_transformers_one_sample_at_a_time(
    disk: Disk, tiny_model: Callable[[str], Path], family: str
) -> None:
    artifact = disk.artifact(tiny_model(family))
    bench = Bench(disk, artifact)
    order = plan_order(artifact, disk.dataset(ragged_texts(30)), shard_tokens=300)
    report = bench.extract(order)
    store = mistudio_activations.open(report.storage_path)
    store.verify()
    samples = [store.sample(i)["input_ids"].tolist() for i in range(store.samples)]
    for layer, rows in resid_post(tiny_model(family), samples, [0, 2]).items():
        column = store[f"layers.{layer}.resid_post"]
        for i, reference in enumerate(rows):
            assert relative_error(column.sample(i), reference) <= 1e-5


def test_a_shard_that_is_delivered_again_has_the_same_bytes(
    disk: Disk, tiny: Artifact, bench: Bench
) -> None:
    order = plan_order(tiny, disk.dataset(ragged_texts(80)), shard_tokens=4000)
    planned = bench.plan(order)
    first = bench.files(order, planned)
    assert bench.files(order, planned) == first
    assert {f.hook_point for f in first} == set(POINTS)


def test_batches_do_not_depend_on_what_else_is_resident(disk: Disk, tiny: Artifact) -> None:
    facts = probe(disk.settings)
    sizing = Sizing.of(disk.directory(tiny), tiny, facts)
    assert sizing.batch_tokens(2 * 64, Dtype.FLOAT32) == 1024
    tight = replace(facts, kind="cuda", memory_budget_bytes=tiny.bytes + 40_000_000)
    small = Sizing.of(disk.directory(tiny), tiny, tight)
    assert small.need().working <= 40_000_000
    assert small.batch_tokens(64, Dtype.FLOAT32) > small.batch_tokens(4 * 64, Dtype.FLOAT32)


@pytest.mark.parametrize("dtype", [Dtype.FLOAT16, Dtype.BFLOAT16])
def test_rows_are_stored_in_the_dtype_asked_for(
    disk: Disk, tiny: Artifact, bench: Bench, dtype: Dtype
) -> None:
    dataset = disk.dataset(ragged_texts(10))
    exact = bench.extract(plan_order(tiny, dataset))
    order = plan_order(tiny, dataset, dtype=dtype)
    report = bench.extract(order)
    assert report.storage_path != exact.storage_path
    stored = mistudio_activations.open(report.storage_path)[POINTS[0]]
    whole = mistudio_activations.open(exact.storage_path)[POINTS[0]]
    assert stored.dtype.itemsize == 2
    np.testing.assert_allclose(stored[:].astype(np.float32), whole[:], rtol=1e-2, atol=1e-2)


def test_a_half_precision_model_works_on_a_cpu(
    disk: Disk, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    whole = tiny_model("gpt2")
    model = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float16)
    half = shutil.copytree(whole, tmp_path / "half")
    model.save_pretrained(half)
    artifact = disk.artifact(half, Dtype.FLOAT16)
    bench = Bench(disk, artifact)
    assert bench.model.dtype is torch.float16
    order = plan_order(artifact, disk.dataset(ragged_texts(20)), dtype=Dtype.FLOAT16)
    report = bench.extract(order)
    assert all(column.non_finite == 0 for column in report.columns)
    store = mistudio_activations.open(report.storage_path)
    assert store.manifest.info.model.dtype == "float16"
    samples = [store.sample(i)["input_ids"].tolist() for i in range(store.samples)]
    for layer, rows in resid_post(whole, samples, [0, 2]).items():
        column = store[f"layers.{layer}.resid_post"]
        for i, reference in enumerate(rows):
            assert relative_error(column.sample(i).astype(np.float32), reference) <= 1e-2


def test_a_stop_leaves_no_file(disk: Disk, tiny: Artifact, bench: Bench) -> None:
    order = plan_order(tiny, disk.dataset(ragged_texts(400)))
    planned = bench.plan(order)
    asked = iter([False, False, True, True, True])
    stopped = bench.capture(shard_order(order, planned.shards[0]), lambda: next(asked))
    assert stopped is None
    assert bench.progress, "it had begun"
    for point in POINTS:
        assert list((disk.store(order) / point).iterdir()) == []


def test_progress_grows_to_all_samples(disk: Disk, tiny: Artifact, bench: Bench) -> None:
    order = plan_order(tiny, disk.dataset(ragged_texts(300)))
    planned = bench.plan(order)
    bench.capture(shard_order(order, planned.shards[0], batch_size=5))
    # Texts that repeat are computed once, and count together.
    assert all(before < after for before, after in pairwise([0, *bench.progress]))
    assert bench.progress[-1] == 300
    assert len(bench.progress) > 20


def test_a_disk_too_small_refuses_before_a_byte_is_written(
    disk: Disk, tiny: Artifact, bench: Bench
) -> None:
    order = plan_order(tiny, disk.dataset(ragged_texts(10)))
    planned = bench.plan(order)
    disk.extra["disk_reserve_bytes"] = 2**62
    bench.layout = Layout(disk.settings)
    with pytest.raises(InsufficientStorage) as caught:
        bench.capture(shard_order(order, planned.shards[0]))
    assert caught.value.details["required_bytes"] == planned.tokens * (64 * 4 + 4) * 2
    assert caught.value.details["available_bytes"] == 0
    assert caught.value.code.http_status == 507
    assert not (disk.store(order) / POINTS[0]).exists()


def test_a_disk_that_fills_up_while_writing_leaves_nothing_visible(
    disk: Disk, tiny: Artifact, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    order = plan_order(tiny, disk.dataset(ragged_texts(200)))
    planned = bench.plan(order)
    real, written = os.pwrite, [0]

    def pwrite(fd: int, content: Any, offset: int) -> int:
        written[0] += len(content)
        if written[0] > 200_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, content, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(InsufficientStorage) as caught:
        bench.capture(shard_order(order, planned.shards[0]))
    assert caught.value.details["required_bytes"] > 0
    assert disk.left_over() == []
    assert mistudio_activations.read_manifest(disk.store(order)) is None


def test_tokens_that_are_gone_or_others_are_found_out(
    disk: Disk, tiny: Artifact, bench: Bench
) -> None:
    order = plan_order(tiny, disk.dataset(ragged_texts(5)))
    shard = bench.plan(order).shards[0]
    other = shard.model_copy(update={"tokens": shard.tokens + 1})
    with pytest.raises(ExtractionFailed) as changed:
        bench.capture(shard_order(order, other))
    assert changed.value.details["reason"] == "tokens_changed"
    with pytest.raises(ExtractionFailed) as missing:
        bench.capture(shard_order(order, shard.model_copy(update={"index": 7})))
    assert missing.value.details["reason"] == "tokens_missing"


def test_int8_takes_half_of_float16_and_tells_its_error(
    disk: Disk, tiny: Artifact, bench: Bench
) -> None:
    dataset = disk.dataset(ragged_texts(40))
    exact = bench.extract(plan_order(tiny, dataset))
    order = plan_order(tiny, dataset, dtype=Dtype.INT8, shard_tokens=200)
    report = bench.extract(order)
    floats = mistudio_activations.open(exact.storage_path)
    store = mistudio_activations.open(report.storage_path)
    store.verify()
    assert (store.manifest.dtype, store.dtype) == ("int8", np.float32)
    for summary in report.columns:
        rows, read = floats[summary.hook_point][:], store[summary.hook_point][:]
        lost = np.linalg.norm(rows - read) / np.linalg.norm(rows)
        assert summary.quantization_error is not None
        assert summary.quantization_error.relative_error == pytest.approx(lost, rel=1e-4)
        assert 0 < lost < 0.02
        shards = store.manifest.columns[summary.hook_point].shards
        assert summary.bytes <= store.tokens * Dtype.INT8.row_bytes(64) + 512 * len(shards)
        np.testing.assert_allclose(
            store[summary.hook_point].norms, floats[summary.hook_point].norms, rtol=1e-5
        )
    columns = {name: entry.shards for name, entry in store.manifest.columns.items()}
    mistudio_activations.evict(disk.store(order), None)
    bench.extract(order)
    again = mistudio_activations.open(report.storage_path).manifest
    assert {name: entry.shards for name, entry in again.columns.items()} == columns


class TestCommit:
    def test_what_is_committed_says_where_it_comes_from(
        self, disk: Disk, tiny: Artifact, bench: Bench
    ) -> None:
        dataset = disk.dataset([*ragged_texts(10), "", ""])
        report = bench.extract(plan_order(tiny, dataset))
        assert Path(report.storage_path).is_absolute()
        assert [c.hook_point for c in report.columns] == POINTS
        assert all(c.width == 64 and c.non_finite == 0 and c.mean_norm for c in report.columns)
        store = mistudio_activations.open(report.storage_path)
        assert report.token_bytes == sum(s.bytes for s in store.manifest.tokens)
        info = store.manifest.info
        assert info.model.fingerprint == tiny.fingerprint
        assert (info.model.source, info.model.dtype) == ("local", "float32")
        assert info.model.fidelity is None
        assert info.dataset == mistudio_activations.DatasetInfo(dataset.fingerprint, 12)
        assert info.tokenization["column"] == "text"
        assert info.rows_considered == 12
        assert {"torch", "transformers", "bitsandbytes"} < set(info.versions)

    def test_what_quantising_the_weights_changed_is_said_beside_the_rows(
        self, disk: Disk, tiny: Artifact, bench: Bench
    ) -> None:
        fidelity = {
            "probe_tokens": 128,
            "layers": [{"hook_point": POINTS[0], "cosine": 0.999, "relative_error": 0.02}],
            "reference_perplexity": 20.0,
            "perplexity": 21.0,
            "perplexity_change": 0.05,
        }
        path = disk.directory(tiny) / "artifact.json"
        facts = json.loads(path.read_text())
        options = {"int4_type": "nf4", "double_quant": True}
        path.write_text(
            json.dumps({**facts, "fidelity": fidelity, "quantization_options": options})
        )
        report = bench.extract(plan_order(tiny, disk.dataset(ragged_texts(5))))
        model = mistudio_activations.open(report.storage_path).manifest.info.model
        assert model.fidelity == fidelity
        assert model.quantization_options == options

    def test_a_repeat_changes_nothing(self, disk: Disk, tiny: Artifact, bench: Bench) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(10)))
        planned = bench.plan(order)
        bench.files(order, planned)
        commit = commit_order(order, planned)
        committing = Committing(bench.layout)
        first = committing.commit(commit)
        before = (disk.store(order) / "manifest.json").read_bytes()
        assert committing.commit(commit) == first
        assert (disk.store(order) / "manifest.json").read_bytes() == before

    def test_another_layer_leaves_the_columns_there_alone(
        self, disk: Disk, tiny: Artifact, bench: Bench
    ) -> None:
        dataset = disk.dataset(ragged_texts(20))
        order = plan_order(tiny, dataset, hook_points=POINTS[:1])
        bench.extract(order)
        column = disk.store(order) / POINTS[0] / "00000.safetensors"
        before = column.stat()
        wider = bench.extract(plan_order(tiny, dataset, hook_points=POINTS))
        assert [c.hook_point for c in wider.columns] == POINTS
        assert (column.stat().st_ino, column.stat().st_mtime_ns) == (
            before.st_ino,
            before.st_mtime_ns,
        )

    def test_more_rows_grow_the_store(self, disk: Disk, tiny: Artifact, bench: Bench) -> None:
        dataset = disk.dataset(ragged_texts(40))
        small = plan_order(tiny, dataset, sample_count=15, shard_tokens=200)
        bench.extract(small)
        report = bench.extract(plan_order(tiny, dataset, shard_tokens=200))
        store = mistudio_activations.open(report.storage_path)
        store.verify()
        assert store.samples == 40
        assert store.manifest.info.rows_considered == 40
        assert store[POINTS[0]].shape == (store.tokens, 64)

    @pytest.mark.parametrize("harm", ["missing", "cut short"])
    def test_a_file_that_is_not_what_was_written_is_never_shown(
        self, disk: Disk, tiny: Artifact, bench: Bench, harm: str
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(10)))
        planned = bench.plan(order)
        files = bench.files(order, planned)
        path = disk.store(order) / files[0].path
        if harm == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(ExtractionFailed) as caught:
            Committing(bench.layout).commit(commit_order(order, planned))
        assert caught.value.details["reason"] == "store_damaged"
        assert mistudio_activations.read_manifest(disk.store(order)) is None
