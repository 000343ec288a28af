"""The loader on a real bus: orders in, reports out, and nothing lost in between."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import nats
import psutil
import pytest
from nats.aio.client import Client
from pydantic import BaseModel

from mistudio_contracts import ErrorCode, Quantization, Source, new_id, subjects
from mistudio_contracts.reports import (
    DatasetFailedReport,
    DatasetIngestedReport,
    DiskReport,
    LoadProgressedReport,
    ModelPreparedReport,
    ModelWorkFailedReport,
)
from mistudio_contracts.rpc import CancelWork, Done, InspectModelRequest, Reply
from mistudio_contracts.states import DatasetSource
from mistudio_contracts.subjects import Subject
from mistudio_contracts.topology import UPLOADS_BUCKET
from mistudio_contracts.values import ModelFacts
from mistudio_contracts.work import IngestDataset, PrepareModel, RemoveArtifact, RemoveDataset
from mistudio_loader.config import LoaderSettings
from mistudio_loader.datasets.ingestion import ingest
from mistudio_loader.factory import create_app
from mistudio_loader.jobs import IngestJob
from mistudio_loader.services import inventory
from mistudio_loader.storage.artifacts import MANIFEST
from mistudio_servicekit.testing import running
from mistudio_testkit.bus import DEADLINE, settled, until
from mistudio_testkit.hub import FakeHub

from .conftest import Preparer


class Catalog:
    """Stands where the catalog is: writes orders, hears reports and live progress."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js = client.jetstream()
        self.reports: list[tuple[Subject, BaseModel]] = []
        self.progress: list[LoadProgressedReport] = []

    async def listen(self) -> None:
        for subject in (
            subjects.REPORT_PREPARED,
            subjects.REPORT_PREPARE_FAILED,
            subjects.REPORT_INGESTED,
            subjects.REPORT_INGEST_FAILED,
        ):
            await self.client.subscribe(subject.name(), cb=self._taker(subject))
        await self.client.subscribe(subjects.LIVE_LOAD.name(), cb=self._live)
        await self.client.flush()

    def _taker(self, subject: Subject) -> Any:
        async def take(message: Any) -> None:
            report = subject.payload.model_validate_json(message.data)
            self.reports.append((subject, report))

        return take

    async def _live(self, message: Any) -> None:
        self.progress.append(LoadProgressedReport.model_validate_json(message.data))

    async def order(self, subject: Subject, order: BaseModel) -> None:
        await self.js.publish(
            subject.name("default"),
            order.model_dump_json().encode(),
            stream=subject.stream,
            headers={"ce-schemaversion": "1"},
        )

    async def report(self, task_id: str) -> Any:
        """Wait for the report of a task."""
        await until(lambda: any(getattr(r, "task_id", "") == task_id for _, r in self.reports))
        return next(r for _, r in self.reports if getattr(r, "task_id", "") == task_id)

    async def settled(self, subject: Subject) -> None:
        """Wait until no order of the subject is left."""
        await settled(self.js, subject)

    async def upload(self, name: str, content: bytes) -> None:
        bucket = await self.js.object_store(UPLOADS_BUCKET)
        await bucket.put(name, content)

    async def uploads(self) -> list[str]:
        bucket = await self.js.object_store(UPLOADS_BUCKET)
        try:
            return [str(entry.name) for entry in await bucket.list() if not entry.deleted]
        except nats.js.errors.NotFoundError:
            return []


@pytest.fixture
async def catalog(nats_url: str) -> AsyncIterator[Catalog]:
    client = await nats.connect(nats_url)
    found = Catalog(client)
    await found.listen()
    yield found
    await client.close()


@pytest.fixture
def settings(nats_url: str, tmp_path: Path, roots: Path, hub: FakeHub) -> LoaderSettings:
    return LoaderSettings(
        nats_url=nats_url,
        model_cache_dir=tmp_path / "models",
        dataset_cache_dir=tmp_path / "datasets",
        local_roots=str(roots),
        hf_endpoint=hub.url,
        huggingface_token=hub.token,
    )


@pytest.fixture
async def loader(settings: LoaderSettings) -> AsyncIterator[None]:
    async with running(create_app(settings)):
        yield


@pytest.fixture
def long_work(
    hub: FakeHub, wide: Path, checkpoint: Any, zeros: Any
) -> Callable[[str], PrepareModel]:
    """Return a function that gives an order which stays in a stage for a while."""

    def give(stage: str) -> PrepareModel:
        if stage == "downloading":
            hub.add_model("a/b", wide)
            hub.hold("/cdn/model.safetensors", 1_500_000, skip=1)
            return order_of("a/b", source=Source.HUGGINGFACE, quantization=Quantization.BF16)
        zeros(checkpoint("gpt2", "large"), 2**29)
        return order_of("large", quantization=Quantization.FP16)

    return give


def order_of(identifier: str, **fields: Any) -> PrepareModel:
    settings: dict[str, Any] = {
        "task_id": new_id("task"),
        "model_id": new_id("m"),
        "source": Source.LOCAL,
        "quantization": Quantization.NONE,
    }
    return PrepareModel(model_identifier=identifier, **{**settings, **fields})


def visible(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if not path.name.startswith(".")}


def left_over(root: Path) -> list[Path]:
    return [p for c in (".staging", ".trash", ".hub") for p in (root / c).rglob("*") if p.is_file()]


@pytest.mark.usefixtures("loader")
class TestModels:
    async def test_inspection_answers_with_facts(self, catalog: Catalog, checkpoint: Any) -> None:
        checkpoint("llama")
        request = InspectModelRequest(source=Source.LOCAL, model_identifier="llama")
        answer = await self._ask(catalog, request)
        assert answer.unwrap().num_layers == 4

    async def test_inspection_answers_with_the_reason(self, catalog: Catalog) -> None:
        request = InspectModelRequest(source=Source.CUSTOM, model_identifier="/etc")
        answer = await self._ask(catalog, request)
        assert answer.error is not None
        assert answer.error.code is ErrorCode.VALIDATION_ERROR
        assert answer.error.details["reason"] == "outside_roots"

    async def test_inspection_of_a_repository_moves_no_weights(
        self, catalog: Catalog, hub: FakeHub, small_model: Any
    ) -> None:
        commit = hub.add_model("a/b", small_model("gpt2"), gated=True)
        request = InspectModelRequest(source=Source.HUGGINGFACE, model_identifier="a/b")
        answer = await self._ask(catalog, request)
        assert answer.unwrap().revision == commit
        assert all(r.range for r in hub.seen("/cdn/"))

    @staticmethod
    async def _ask(catalog: Catalog, request: InspectModelRequest) -> Reply[ModelFacts]:
        message = await catalog.client.request(
            subjects.RPC_INSPECT.name("default"), request.model_dump_json().encode(), timeout=30
        )
        return Reply[ModelFacts].model_validate_json(message.data)

    async def test_an_order_becomes_an_artifact_and_a_report(
        self, catalog: Catalog, settings: LoaderSettings, hub: FakeHub, wide: Path
    ) -> None:
        hub.add_model("a/b", wide)
        order = order_of("a/b", source=Source.HUGGINGFACE, quantization=Quantization.FP16)
        await catalog.order(subjects.WORK_PREPARE, order)
        report = await catalog.report(order.task_id)
        assert isinstance(report, ModelPreparedReport)
        assert visible(settings.model_cache_dir) == {report.artifact.fingerprint}
        await catalog.settled(subjects.WORK_PREPARE)
        mine = [p for p in catalog.progress if p.task_id == order.task_id]
        assert [p.progress for p in mine] == sorted(p.progress for p in mine)
        assert list(dict.fromkeys(p.stage.value for p in mine)) == [
            "resolving",
            "downloading",
            "verifying",
            "quantizing",
        ]
        assert left_over(settings.model_cache_dir) == []

    async def test_a_wrong_order_is_reported_at_once_with_its_reason(
        self, catalog: Catalog, checkpoint: Any, configure: Any
    ) -> None:
        configure(checkpoint(), model_type="bert", architectures=["BertModel"])
        order = order_of("gpt2")
        await catalog.order(subjects.WORK_PREPARE, order)
        report = await catalog.report(order.task_id)
        assert isinstance(report, ModelWorkFailedReport)
        assert report.failure.error.code is ErrorCode.VALIDATION_ERROR
        assert report.failure.error.details["reason"] == "unsupported_architecture"
        await catalog.settled(subjects.WORK_PREPARE)

    async def test_wrong_bytes_for_good_end_as_a_failed_load(
        self, catalog: Catalog, hub: FakeHub, small_model: Any
    ) -> None:
        hub.add_model("a/b", small_model("gpt2"))
        # The header comes by a range of its own before each transfer.
        for attempt in range(4):
            hub.corrupt("/cdn/model.safetensors", skip=attempt + 1)
        order = order_of("a/b", source=Source.HUGGINGFACE)
        await catalog.order(subjects.WORK_PREPARE, order)
        report = await catalog.report(order.task_id)
        assert isinstance(report, ModelWorkFailedReport)
        assert report.failure.error.code is ErrorCode.MODEL_LOAD_FAILED
        assert report.failure.error.details["reason"] == "checksum_mismatch"
        assert report.failure.transient

    async def test_two_models_are_downloaded_at_once(
        self, catalog: Catalog, hub: FakeHub, wide: Path, small_model: Any
    ) -> None:
        hub.add_model("a/slow", wide)
        hub.hold("/cdn/model.safetensors", 1_500_000, skip=1)
        slow = order_of("a/slow", source=Source.HUGGINGFACE)
        await catalog.order(subjects.WORK_PREPARE, slow)
        await until(lambda: any(p.stage.value == "downloading" for p in catalog.progress))
        hub.add_model("a/quick", small_model("mistral"))
        quick = order_of("a/quick", source=Source.HUGGINGFACE)
        await catalog.order(subjects.WORK_PREPARE, quick)
        assert isinstance(await catalog.report(quick.task_id), ModelPreparedReport)
        hub.release()
        assert isinstance(await catalog.report(slow.task_id), ModelPreparedReport)

    async def test_two_orders_for_one_repository_share_one_download(
        self, catalog: Catalog, settings: LoaderSettings, hub: FakeHub, wide: Path
    ) -> None:
        hub.add_model("a/b", wide)
        orders = [
            order_of("a/b", source=Source.HUGGINGFACE, quantization=q) for q in ("none", "bf16")
        ]
        hub.hold("/cdn/model.safetensors", 1_500_000, skip=1)
        await catalog.order(subjects.WORK_PREPARE, orders[0])
        await until(lambda: any(p.stage.value == "downloading" for p in catalog.progress))
        await catalog.order(subjects.WORK_PREPARE, orders[1])
        await until(lambda: any(p.waiting for p in catalog.progress))
        hub.release()
        found = [await catalog.report(order.task_id) for order in orders]
        assert sum(r.range is None for r in hub.seen("/cdn/model.safetensors")) == 1
        assert visible(settings.model_cache_dir) == {r.artifact.fingerprint for r in found}
        assert left_over(settings.model_cache_dir) == []

    async def test_cancel_ends_the_work_and_keeps_what_arrived(
        self, catalog: Catalog, settings: LoaderSettings, hub: FakeHub, wide: Path
    ) -> None:
        hub.add_model("a/b", wide)
        hub.hold("/cdn/model.safetensors", 2_500_000, skip=1)
        order = order_of("a/b", source=Source.HUGGINGFACE)
        await catalog.order(subjects.WORK_PREPARE, order)
        downloads = settings.model_cache_dir / ".hub"
        await until(lambda: any(p.stat().st_size >= 2**21 for p in downloads.rglob("*.partial")))
        await self._cancel(catalog, order.task_id)
        await catalog.settled(subjects.WORK_PREPARE)
        assert catalog.reports == []
        assert visible(settings.model_cache_dir) == set()
        left = {p.suffix for p in left_over(settings.model_cache_dir)}
        assert left <= {".partial", ".lock", ".waiting"}
        hub.release()
        again = order_of("a/b", source=Source.HUGGINGFACE)
        await catalog.order(subjects.WORK_PREPARE, again)
        assert isinstance(await catalog.report(again.task_id), ModelPreparedReport)
        assert hub.seen("/cdn/model.safetensors")[-1].range == "bytes=2097152-"
        assert left_over(settings.model_cache_dir) == []

    async def test_cancel_while_casting_leaves_nothing(
        self, catalog: Catalog, settings: LoaderSettings, long_work: Any
    ) -> None:
        order = long_work("quantizing")
        await catalog.order(subjects.WORK_PREPARE, order)
        await until(lambda: any(p.stage.value == "quantizing" for p in catalog.progress))
        await self._cancel(catalog, order.task_id)
        await catalog.settled(subjects.WORK_PREPARE)
        assert catalog.reports == []
        assert visible(settings.model_cache_dir) == set()
        assert left_over(settings.model_cache_dir) == []

    async def test_a_cancelled_order_that_comes_later_is_not_begun(
        self, catalog: Catalog, settings: LoaderSettings, checkpoint: Any
    ) -> None:
        checkpoint()
        order = order_of("gpt2")
        await self._cancel(catalog, order.task_id)
        await catalog.order(subjects.WORK_PREPARE, order)
        await catalog.settled(subjects.WORK_PREPARE)
        assert (catalog.reports, catalog.progress) == ([], [])
        assert visible(settings.model_cache_dir) == set()

    @staticmethod
    async def _cancel(catalog: Catalog, task_id: str) -> None:
        message = CancelWork(task_ids=[task_id]).model_dump_json().encode()
        await catalog.client.publish(subjects.CONTROL_CANCEL.name("default"), message)
        await catalog.client.flush()

    async def test_removing_is_final_and_may_be_repeated(
        self, catalog: Catalog, settings: LoaderSettings, checkpoint: Any
    ) -> None:
        checkpoint()
        order = order_of("gpt2")
        await catalog.order(subjects.WORK_PREPARE, order)
        report = await catalog.report(order.task_id)
        for _ in range(2):
            remove = RemoveArtifact(task_id=new_id("task"), fingerprint=report.artifact.fingerprint)
            await catalog.order(subjects.WORK_REMOVE, remove)
            await catalog.settled(subjects.WORK_REMOVE)
            assert visible(settings.model_cache_dir) == set()
        assert left_over(settings.model_cache_dir) == []

    @pytest.mark.parametrize(
        "stage",
        [
            pytest.param("downloading", marks=pytest.mark.nightly("one kill more")),
            "quantizing",
        ],
    )
    async def test_a_killed_child_is_followed_by_another(
        self, catalog: Catalog, settings: LoaderSettings, long_work: Any, stage: str
    ) -> None:
        order = long_work(stage)
        await catalog.order(subjects.WORK_PREPARE, order)
        await until(lambda: any(p.stage.value == stage for p in catalog.progress))
        for child in psutil.Process().children():
            if "mistudio_loader.child" in child.cmdline():
                child.send_signal(signal.SIGKILL)
        report = await catalog.report(order.task_id)
        assert isinstance(report, ModelPreparedReport)
        assert visible(settings.model_cache_dir) == {report.artifact.fingerprint}
        assert left_over(settings.model_cache_dir) == []


def ingest_order(identifier: str, **fields: Any) -> IngestDataset:
    settings: dict[str, Any] = {
        "task_id": new_id("task"),
        "dataset_id": new_id("ds"),
        "source": DatasetSource.UPLOAD,
    }
    return IngestDataset(identifier=identifier, **{**settings, **fields})


@pytest.mark.usefixtures("loader")
class TestDatasets:
    async def test_an_upload_becomes_a_dataset_and_is_deleted(
        self, catalog: Catalog, settings: LoaderSettings
    ) -> None:
        content = b"".join(b'{"text": "%d"}\n' % n for n in range(50_000))
        await catalog.upload("upload-1", content)
        order = ingest_order("upload-1")
        await catalog.order(subjects.WORK_INGEST, order)
        report = await catalog.report(order.task_id)
        assert isinstance(report, DatasetIngestedReport)
        assert report.facts.sample_count == 50_000
        assert report.facts.file_size_bytes == len(content)
        assert visible(settings.dataset_cache_dir) == {report.facts.fingerprint}
        await catalog.settled(subjects.WORK_INGEST)
        assert await catalog.uploads() == []
        assert left_over(settings.dataset_cache_dir) == []

    async def test_the_same_order_again_is_answered_as_before(
        self, catalog: Catalog, settings: LoaderSettings
    ) -> None:
        await catalog.upload("upload-1", b"one\ntwo\n")
        order = ingest_order("upload-1")
        await catalog.order(subjects.WORK_INGEST, order)
        first = await catalog.report(order.task_id)
        await catalog.settled(subjects.WORK_INGEST)
        await catalog.order(subjects.WORK_INGEST, order)
        await catalog.settled(subjects.WORK_INGEST)
        assert {type(r) for _, r in catalog.reports} == {DatasetIngestedReport}
        assert all(r == first for _, r in catalog.reports)

    async def test_a_bad_upload_is_reported_and_deleted(self, catalog: Catalog) -> None:
        await catalog.upload("upload-1", b'{"text": "a"}\n{"text": 1\n')
        order = ingest_order("upload-1")
        await catalog.order(subjects.WORK_INGEST, order)
        report = await catalog.report(order.task_id)
        assert isinstance(report, DatasetFailedReport)
        assert report.failure.error.details["reason"] == "malformed_json"
        assert report.failure.error.details["line"] == 2
        await catalog.settled(subjects.WORK_INGEST)
        assert await catalog.uploads() == []

    async def test_an_upload_that_is_gone_is_reported(self, catalog: Catalog) -> None:
        order = ingest_order("upload-nothing")
        await catalog.order(subjects.WORK_INGEST, order)
        report = await catalog.report(order.task_id)
        assert report.failure.error.details["reason"] == "upload_missing"

    async def test_a_local_file_is_read_where_it_lies(self, catalog: Catalog, roots: Path) -> None:
        (roots / "texts.csv").write_text("text\na\nb\n")
        order = ingest_order("texts.csv", source=DatasetSource.LOCAL)
        await catalog.order(subjects.WORK_INGEST, order)
        assert (await catalog.report(order.task_id)).facts.sample_count == 2
        assert (roots / "texts.csv").exists()

    @pytest.mark.parametrize(
        ("identifier", "reason"),
        [("/etc/passwd", "outside_roots"), ("../x", "outside_roots"), (".", "not_a_file")],
    )
    async def test_a_path_that_may_not_be_read_is_reported(
        self, catalog: Catalog, identifier: str, reason: str
    ) -> None:
        order = ingest_order(identifier, source=DatasetSource.LOCAL)
        await catalog.order(subjects.WORK_INGEST, order)
        report = await catalog.report(order.task_id)
        assert report.failure.error.details["reason"] == reason
        assert report.failure.error.details["field"] == "identifier"

    async def test_removing_is_final_and_may_be_repeated(
        self, catalog: Catalog, settings: LoaderSettings
    ) -> None:
        await catalog.upload("upload-1", b"one\n")
        order = ingest_order("upload-1")
        await catalog.order(subjects.WORK_INGEST, order)
        report = await catalog.report(order.task_id)
        for _ in range(2):
            remove = RemoveDataset(task_id=new_id("task"), fingerprint=report.facts.fingerprint)
            await catalog.order(subjects.WORK_REMOVE_DATASET, remove)
            await catalog.settled(subjects.WORK_REMOVE_DATASET)
            assert visible(settings.dataset_cache_dir) == set()


class TestInventory:
    """What lies complete on the disk is told to the catalog."""

    @pytest.fixture
    def there(
        self, settings: LoaderSettings, roots: Path, checkpoint: Any
    ) -> tuple[set[str], set[str]]:
        """Two artifacts and a dataset, beside what is neither; their fingerprints."""
        prepare = Preparer(settings.model_cache_dir, roots)
        made = [prepare(checkpoint(family)) for family in ("gpt2", "llama", "mistral")]
        artifacts = [each.artifact.fingerprint for each in made]
        (settings.model_cache_dir / artifacts.pop() / "config.json").unlink()
        (roots / "texts.csv").write_text("text\na\n")
        facts = ingest(
            IngestJob(
                task_id="task_x",
                root=settings.dataset_cache_dir,
                file=roots / "texts.csv",
                name="texts.csv",
                max_bytes=1000,
            )
        )
        (settings.dataset_cache_dir / ("e" * 32)).mkdir()
        (settings.dataset_cache_dir / "somebody's").mkdir()
        return set(artifacts), {facts.fingerprint}

    async def test_all_that_is_complete_is_told_in_parts_again_and_again(
        self,
        catalog: Catalog,
        settings: LoaderSettings,
        there: tuple[set[str], set[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(inventory, "DISK_REPORT_MOST", 1)
        told = await self._answer(catalog)
        often = settings.model_copy(update={"disk_report_seconds": 0.05})
        async with running(create_app(often)):
            await until(lambda: len(told) >= 4)
        artifacts = [each for report in told[:2] for each in report.artifacts]
        assert {each.fingerprint for each in artifacts} == there[0]
        assert {each.fingerprint for report in told[:2] for each in report.datasets} == there[1]
        assert told[2:4] == told[:2]
        for each in artifacts:
            manifest = settings.model_cache_dir / each.fingerprint / MANIFEST
            assert each.written_at.timestamp() == pytest.approx(manifest.stat().st_mtime)

    async def test_a_catalog_that_starts_later_is_told_soon(
        self,
        catalog: Catalog,
        settings: LoaderSettings,
        there: tuple[set[str], set[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(inventory, "AGAIN_SECONDS", 0.05)
        async with running(create_app(settings)):
            told = await self._answer(catalog)
            await until(lambda: bool(told))
        (report,) = told
        assert {each.fingerprint for each in report.artifacts} == there[0]

    @staticmethod
    async def _answer(catalog: Catalog) -> list[DiskReport]:
        """Hear what is told, as the catalog does."""
        told: list[DiskReport] = []

        async def take(message: Any) -> None:
            told.append(DiskReport.model_validate_json(message.data))
            await message.respond(Reply(result=Done()).model_dump_json().encode())

        await catalog.client.subscribe(subjects.RPC_DISK_REPORT.name(), cb=take)
        await catalog.client.flush()
        return told


class TestProcess:
    """The loader as the process it is in service."""

    @pytest.fixture
    async def start(self, settings: LoaderSettings) -> AsyncIterator[Any]:
        started: list[asyncio.subprocess.Process] = []
        names = ("nats_url", "model_cache_dir", "dataset_cache_dir", "local_roots", "hf_endpoint")
        environment = {name.upper(): str(getattr(settings, name)) for name in names}

        async def work() -> asyncio.subprocess.Process:
            import sys

            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mistudio_loader",
                env={**os.environ, **environment},
                stdout=asyncio.subprocess.DEVNULL,
            )
            started.append(process)
            return process

        yield work
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()

    @pytest.mark.nightly("two kills")
    @pytest.mark.parametrize("stage", ["downloading", "quantizing"])
    async def test_a_killed_loader_takes_its_child_along_and_the_next_one_completes(
        self,
        catalog: Catalog,
        settings: LoaderSettings,
        hub: FakeHub,
        long_work: Any,
        start: Any,
        stage: str,
    ) -> None:
        first = await start()
        order = long_work(stage)
        await catalog.order(subjects.WORK_PREPARE, order)
        await until(lambda: any(p.stage.value == stage for p in catalog.progress))
        children = psutil.Process(first.pid).children()
        assert len(children) == 1
        assert not any("torch" in m.path for m in psutil.Process(first.pid).memory_maps())
        first.kill()
        await first.wait()
        await until(lambda: not any(child.is_running() for child in children))
        hub.release()
        second = await start()
        report = await catalog.report(order.task_id)
        assert isinstance(report, ModelPreparedReport)
        await catalog.settled(subjects.WORK_PREPARE)
        assert visible(settings.model_cache_dir) == {report.artifact.fingerprint}
        assert left_over(settings.model_cache_dir) == []
        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), DEADLINE) == 0

    async def test_secrets_and_paths_stay_out_of_reports(
        self, catalog: Catalog, settings: LoaderSettings, start: Any, tmp_path: Path
    ) -> None:
        await start()
        order = order_of("/nowhere/else")
        await catalog.order(subjects.WORK_PREPARE, order)
        report = await catalog.report(order.task_id)
        assert str(tmp_path) not in json.dumps(report.model_dump(mode="json"))
