"""The extractor on a real bus: orders in, reports out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import psutil
import pytest

import mistudio_activations
from mistudio_contracts import ErrorCode, MiStudioError, new_id, subjects
from mistudio_contracts.reports import (
    ExtractionCommittedReport,
    ExtractionWorkFailedReport,
    ModelEvictedReport,
    ModelPlacedReport,
    ModelWorkFailedReport,
    ShardCapturedReport,
    StoreEvictedReport,
)
from mistudio_contracts.rpc import (
    CancelWork,
    DeviceOrders,
    ListStoreFilesRequest,
    ProbeExtractionRequest,
    ReadStoreFileRequest,
    ReleaseModel,
    VerifyStoreRequest,
)
from mistudio_contracts.states import LoadStage
from mistudio_contracts.values import Artifact
from mistudio_contracts.work import EvictStore
from mistudio_extractor.factory import create_app
from mistudio_servicekit.testing import running
from mistudio_testkit.bus import kept, until
from mistudio_testkit.models import make_model, ragged_texts

from .bus import Catalog
from .support import POINTS, Disk, commit_order, place_order, plan_order, shard_order


@pytest.fixture
async def catalog(nats_url: str, disk: Disk) -> AsyncIterator[Catalog]:
    disk.url = nats_url
    client = await nats.connect(nats_url)
    found = Catalog(client)
    await found.listen()
    yield found
    await client.close()


@pytest.fixture
async def extractor(catalog: Catalog, disk: Disk, tiny: Artifact) -> AsyncIterator[None]:
    # After the tiny model: in this one process its making and the service's start would import
    # transformers at the same time.
    async with running(create_app(disk.settings)):
        yield


@pytest.mark.usefixtures("extractor")
class TestModels:
    async def test_a_model_is_placed_and_measured(self, catalog: Catalog, tiny: Artifact) -> None:
        order = place_order(tiny)
        await catalog.order(subjects.WORK_PLACE, order)
        placed = await catalog.report(ModelPlacedReport, task_id=order.task_id)
        beat = await catalog.beat_after(lambda b: bool(b.residents))
        assert placed.device_id == beat.device_id
        assert 0 < placed.memory_usage_bytes <= tiny.bytes * 2
        assert beat.memory_used_bytes == placed.memory_usage_bytes
        assert placed.hook_points is not None
        widths = {each.kind: (each.width, each.heads) for each in placed.hook_points.kinds}
        assert widths["resid_post"] == (64, None)
        assert widths["z"] == (64, 4)
        assert not placed.hook_points.refused
        assert [r.model_id for r in beat.residents] == [order.model_id]
        assert beat.residents[0].fingerprint == tiny.fingerprint

    async def test_placing_is_followed_live_to_its_end(
        self, catalog: Catalog, tiny: Artifact
    ) -> None:
        order = place_order(tiny)
        await catalog.order(subjects.WORK_PLACE, order)
        await catalog.report(ModelPlacedReport, task_id=order.task_id)
        await until(lambda: bool(catalog.loads) and catalog.loads[-1].progress == 100)
        figures = [live.progress for live in catalog.loads]
        assert figures == sorted(figures)
        assert figures[0] >= 85
        assert {live.stage for live in catalog.loads} == {LoadStage.PLACING}

    async def test_one_that_is_there_is_reported_at_once(
        self, catalog: Catalog, tiny: Artifact
    ) -> None:
        first = place_order(tiny)
        second = place_order(tiny, model_id=first.model_id)
        for order in (first, second):
            await catalog.order(subjects.WORK_PLACE, order)
            await catalog.report(ModelPlacedReport, task_id=order.task_id)
        assert catalog.of(ModelEvictedReport) == []
        assert [len(b.residents) for b in catalog.beats if b.residents] == [1] * len(
            [b for b in catalog.beats if b.residents]
        )

    async def test_a_released_model_leaves_and_its_memory_comes_back(
        self, catalog: Catalog, disk: Disk, wide: Path
    ) -> None:
        order = plan_order(disk.artifact(wide), disk.dataset(ragged_texts(10)))
        await catalog.extract(order)
        # Weights are mapped and come into memory as they are used, so the model has worked first.
        full = psutil.Process().memory_info().rss
        release = ReleaseModel(model_id=order.model_id, task_id=new_id("task"))
        await catalog.tell(subjects.CONTROL_RELEASE, release)
        left = await catalog.report(ModelEvictedReport, model_id=order.model_id)
        assert (left.reason, left.task_id) == ("requested", release.task_id)
        assert left.freed_bytes > 50_000_000
        assert psutil.Process().memory_info().rss < full - left.freed_bytes // 2
        await until(lambda: not catalog.beats[-1].residents)

    async def test_only_who_holds_a_model_answers_its_release(
        self, catalog: Catalog, tiny: Artifact
    ) -> None:
        await catalog.tell(
            subjects.CONTROL_RELEASE, ReleaseModel(model_id=new_id("m"), task_id=new_id("task"))
        )
        order = place_order(tiny)
        await catalog.order(subjects.WORK_PLACE, order)
        await catalog.report(ModelPlacedReport, task_id=order.task_id)
        assert catalog.of(ModelEvictedReport) == []

    async def test_a_lost_release_is_made_good_by_the_heartbeats_answer(
        self, catalog: Catalog, tiny: Artifact
    ) -> None:
        order = place_order(tiny)
        catalog.orders = DeviceOrders(release=[order.model_id])
        await catalog.order(subjects.WORK_PLACE, order)
        left = await catalog.report(ModelEvictedReport, model_id=order.model_id)
        assert left.reason == "requested"

    async def test_a_cancelled_placing_is_not_reported(
        self, catalog: Catalog, tiny: Artifact
    ) -> None:
        order = place_order(tiny)
        await catalog.tell(subjects.CONTROL_CANCEL, CancelWork(task_ids=[order.task_id]))
        await catalog.order(subjects.WORK_PLACE, order)
        await catalog.settled(subjects.WORK_PLACE)
        assert catalog.reports == []

    async def test_an_artifact_that_is_gone(self, catalog: Catalog, tiny: Artifact) -> None:
        lost = tiny.model_copy(update={"fingerprint": "0" * 32})
        order = place_order(lost)
        await catalog.order(subjects.WORK_PLACE, order)
        failed = await catalog.report(ModelWorkFailedReport, task_id=order.task_id)
        assert failed.failure.error.code is ErrorCode.MODEL_LOAD_FAILED
        assert failed.failure.error.details["reason"] == "artifact_missing"

    async def test_weights_that_are_no_weights(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        path = disk.directory(tiny) / "model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
        order = place_order(tiny)
        await catalog.order(subjects.WORK_PLACE, order)
        failed = await catalog.report(ModelWorkFailedReport, task_id=order.task_id)
        assert failed.failure.error.details["reason"] == "placing_failed"
        assert str(disk.root) not in failed.model_dump_json()

    async def test_a_family_that_is_not_proven(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        path = disk.directory(tiny) / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "mamba"}))
        order = place_order(tiny)
        await catalog.order(subjects.WORK_PLACE, order)
        failed = await catalog.report(ModelWorkFailedReport, task_id=order.task_id)
        assert failed.failure.error.details["reason"] == "unsupported_architecture"
        assert "gpt2" in failed.failure.error.details["remedy"]


class TestRoom:
    async def test_the_least_recently_used_leaves_for_one_too_many(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        disk.extra["max_resident_models"] = 2
        orders = [place_order(tiny) for _ in range(3)]
        async with running(create_app(disk.settings)):
            for order in orders:
                await catalog.order(subjects.WORK_PLACE, order)
                await catalog.report(ModelPlacedReport, task_id=order.task_id)
            left = await catalog.report(ModelEvictedReport)
        assert (left.model_id, left.reason) == (orders[0].model_id, "lru")
        assert left.task_id == orders[0].task_id

    async def test_one_that_waits_for_room_says_so_and_holds_nobody_up(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        disk.extra["max_resident_models"] = 1
        dataset = disk.dataset([[n % 500, n // 500] for n in range(20_000)], "input_ids")
        work = plan_order(tiny, dataset, column="input_ids", hook_points=POINTS[:1])
        there = place_order(tiny, model_id=work.model_id)
        waiting, again = place_order(tiny), place_order(tiny, model_id=work.model_id)
        async with running(create_app(disk.settings)):
            await catalog.order(subjects.WORK_PLACE, there)
            await catalog.report(ModelPlacedReport, task_id=there.task_id)
            planned = await catalog.plan(work)
            await catalog.order(
                subjects.WORK_SHARD, shard_order(work, planned.shards[0], batch_size=1)
            )
            await until(lambda: bool(catalog.progress))
            await catalog.order(subjects.WORK_PLACE, waiting)
            await until(lambda: any(live.waiting for live in catalog.loads))
            await catalog.order(subjects.WORK_PLACE, again)
            await catalog.report(ModelPlacedReport, task_id=again.task_id)
            assert catalog.of(ModelPlacedReport, task_id=waiting.task_id) == []
            await catalog.tell(subjects.CONTROL_CANCEL, CancelWork(task_ids=[work.task_id]))
            await catalog.report(ModelPlacedReport, task_id=waiting.task_id)
        assert {live.task_id for live in catalog.loads if live.waiting} == {waiting.task_id}

    async def test_a_model_beyond_the_budget_is_refused_with_the_figures(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        disk.extra["gpu_memory_limit_gb"] = tiny.bytes / 1024**3 / 2
        order = place_order(tiny)
        async with running(create_app(disk.settings)):
            await catalog.order(subjects.WORK_PLACE, order)
            failed = await catalog.report(ModelWorkFailedReport, task_id=order.task_id)
        error = failed.failure.error
        assert error.code is ErrorCode.MODEL_TOO_LARGE
        assert error.details["required_memory_gb"] > error.details["available_memory_gb"]


@pytest.mark.usefixtures("extractor")
class TestExtractions:
    async def test_from_a_plan_to_a_store_without_placing_by_hand(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(60)), shard_tokens=300)
        committed = await catalog.extract(order)
        assert Path(committed.storage_path) == disk.store(order)
        store = mistudio_activations.open(committed.storage_path)
        store.verify()
        assert store.samples == 60
        assert store.columns == POINTS
        assert disk.left_over() == []
        beat = await catalog.beat_after(lambda b: bool(b.residents))
        assert beat.residents[0].model_id == order.model_id

    async def test_what_an_extraction_would_take_is_counted_and_timed(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(400)), shard_tokens=3000)
        request = ProbeExtractionRequest(
            **{
                name: getattr(order, name)
                for name in ProbeExtractionRequest.model_fields
                if name in type(order).model_fields
            }
        )
        before = await catalog.ask(subjects.RPC_PROBE, request)
        assert before.work_per_second is None
        assert "not in memory" in str(before.unknown)
        assert not disk.store(order).exists(), "nothing is begun"
        place = place_order(tiny, model_id=order.model_id)
        await catalog.order(subjects.WORK_PLACE, place)
        await catalog.report(ModelPlacedReport, task_id=place.task_id)
        there = await catalog.ask(subjects.RPC_PROBE, request)
        assert there.work_per_second > 0
        assert there.rows_sampled == 256
        again = await catalog.ask(subjects.RPC_PROBE, request)
        assert again == there, "the rows are drawn by a fixed seed, the speed is kept"
        assert list((disk.root / "activations").iterdir()) == [], "what was written is taken away"

        planned = await catalog.plan(order)
        await catalog.shards(order, planned)
        await catalog.order(subjects.WORK_COMMIT, commit_order(order, planned))
        await catalog.report(ExtractionCommittedReport, task_id=order.task_id)
        assert there.tokens == pytest.approx(planned.tokens, rel=0.2)
        one_more = [*POINTS, "layers.1.resid_post"]
        after = await catalog.ask(
            subjects.RPC_PROBE, request.model_copy(update={"hook_points": one_more})
        )
        assert (after.tokens, after.rows_sampled) == (planned.tokens, 0)
        assert after.missing == {**dict.fromkeys(POINTS, 0), "layers.1.resid_post": planned.tokens}

    async def test_progress_is_told_of_each_shard(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(300)))
        planned = await catalog.plan(order)
        shard = planned.shards[0]
        await catalog.order(subjects.WORK_SHARD, shard_order(order, shard, batch_size=5))
        await catalog.report(ShardCapturedReport, task_id=order.task_id)
        await until(lambda: bool(catalog.progress) and catalog.progress[-1].samples_done == 300)
        figures = [live.samples_done for live in catalog.progress]
        assert figures == sorted(figures)

    async def test_a_redelivered_shard_reports_the_same_checksums(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(50)))
        planned = await catalog.plan(order)
        first = await catalog.shards(order, planned)
        again = order.model_copy(update={"task_id": new_id("task")})
        second = await catalog.shards(again, planned)
        assert [r.files for r in first] == [r.files for r in second]

    async def test_a_cancelled_shard_stops_and_leaves_nothing(
        self, catalog: Catalog, disk: Disk, wide: Path
    ) -> None:
        order = plan_order(disk.artifact(wide), disk.dataset(ragged_texts(3000)))
        planned = await catalog.plan(order)
        await catalog.order(
            subjects.WORK_SHARD, shard_order(order, planned.shards[0], batch_size=5)
        )
        await until(lambda: any(live.samples_done > 0 for live in catalog.progress))
        await catalog.tell(subjects.CONTROL_CANCEL, CancelWork(task_ids=[order.task_id]))
        await catalog.settled(subjects.WORK_SHARD)
        assert catalog.of(ShardCapturedReport) == []
        assert catalog.of(ExtractionWorkFailedReport) == []
        assert [p for point in POINTS for p in (disk.store(order) / point).iterdir()] == []

    async def test_a_task_that_the_heartbeats_answer_calls_void_stops_too(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(20)))
        planned = await catalog.plan(order)
        catalog.orders = DeviceOrders(cancelled=[order.task_id])
        seen = len(catalog.beats)
        await until(lambda: len(catalog.beats) > seen + 1)
        await catalog.order(subjects.WORK_SHARD, shard_order(order, planned.shards[0]))
        await catalog.settled(subjects.WORK_SHARD)
        assert catalog.of(ShardCapturedReport) == []

    async def test_a_model_asked_to_leave_while_it_works_leaves_afterwards(
        self, catalog: Catalog, disk: Disk, wide: Path
    ) -> None:
        order = plan_order(disk.artifact(wide), disk.dataset(ragged_texts(80)))
        planned = await catalog.plan(order)
        await catalog.order(
            subjects.WORK_SHARD, shard_order(order, planned.shards[0], batch_size=5)
        )
        await until(lambda: any(live.samples_done > 0 for live in catalog.progress))
        release = ReleaseModel(model_id=order.model_id, task_id=new_id("task"))
        await catalog.tell(subjects.CONTROL_RELEASE, release)
        captured = await catalog.report(ShardCapturedReport, task_id=order.task_id)
        assert captured.tokens == planned.shards[0].tokens
        left = await catalog.report(ModelEvictedReport, task_id=release.task_id)
        assert left.reason == "requested"

    async def test_what_cannot_be_planned_is_reported_with_field_and_remedy(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset([[1, 9999]], "input_ids"), column="input_ids")
        await catalog.order(subjects.WORK_PLAN, order)
        failed = await catalog.report(ExtractionWorkFailedReport, task_id=order.task_id)
        error = failed.failure.error
        assert error.code is ErrorCode.VALIDATION_ERROR
        assert error.details["reason"] == "token_out_of_range"
        assert error.details["field"] == "tokenization.column"
        assert not failed.failure.transient
        await catalog.settled(subjects.WORK_PLAN)


@pytest.mark.usefixtures("extractor")
class TestStores:
    async def test_its_files_are_listed_and_read_in_pieces(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(30)))
        await catalog.extract(order)
        listed = await catalog.ask(
            subjects.RPC_STORE_FILES, ListStoreFilesRequest(store_key=order.store_key)
        )
        assert {f"{POINTS[0]}/00000.safetensors", "manifest.json", "tokens/00000.safetensors"} <= {
            file.path for file in listed.files
        }
        for file in listed.files:
            content, eof = b"", False
            while not eof:
                chunk = await catalog.ask(
                    subjects.RPC_STORE_READ,
                    ReadStoreFileRequest(
                        store_key=order.store_key,
                        path=file.path,
                        offset=len(content),
                        length=100_000,
                    ),
                )
                content, eof = content + base64.b64decode(chunk.data), chunk.eof
                assert chunk.total_bytes == file.bytes
            on_disk = (disk.store(order) / file.path).read_bytes()
            assert hashlib.sha256(content).digest() == hashlib.sha256(on_disk).digest()

    async def test_a_flipped_byte_is_found_and_its_file_named(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(5)))
        await catalog.extract(order)
        request = VerifyStoreRequest(store_key=order.store_key, hook_points=POINTS)
        intact = await catalog.ask(subjects.RPC_STORE_VERIFY, request)
        assert (intact.next, intact.damaged) == (None, [])
        assert intact.verified_bytes == intact.total_bytes > 0
        file = disk.store(order) / POINTS[1] / "00000.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        found = await catalog.ask(subjects.RPC_STORE_VERIFY, request)
        assert [each.path for each in found.damaged] == [f"{POINTS[1]}/00000.safetensors"]
        assert "Delete the cache" in found.remedy

    @pytest.mark.parametrize("path", ["tokens/skipped.json", "tokens", "other", "tokens/./x"])
    async def test_only_listed_files_are_read(
        self, catalog: Catalog, disk: Disk, tiny: Artifact, path: str
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(5)))
        await catalog.extract(order)
        with pytest.raises(MiStudioError) as caught:
            await catalog.ask(
                subjects.RPC_STORE_READ,
                ReadStoreFileRequest(store_key=order.store_key, path=path),
            )
        assert caught.value.code is ErrorCode.VALIDATION_ERROR
        assert caught.value.details["field"] == "path"

    @pytest.mark.parametrize(
        "path", ["../secret", "tokens/../../secret", "/etc/passwd", "..", "", "a\\..\\b", "x\0y"]
    )
    async def test_a_path_out_of_the_store_is_refused_at_the_door(
        self, catalog: Catalog, disk: Disk, path: str
    ) -> None:
        (disk.root / "activations" / "secret").write_text("hidden")
        # Past the contract's own checks, as another program could send it.
        forged = ReadStoreFileRequest.model_construct(
            store_key="0" * 32, path=path, offset=0, length=10
        )
        with pytest.raises(MiStudioError) as caught:
            await catalog.ask(subjects.RPC_STORE_READ, forged)
        assert caught.value.code is ErrorCode.VALIDATION_ERROR
        assert caught.value.details["field"] == "path"

    @pytest.mark.parametrize("key", ["..", "../activations", ""])
    async def test_a_key_out_of_the_stores_is_refused_at_the_door(
        self, catalog: Catalog, key: str
    ) -> None:
        forged = ListStoreFilesRequest.model_construct(store_key=key)
        with pytest.raises(MiStudioError) as caught:
            await catalog.ask(subjects.RPC_STORE_FILES, forged)
        assert caught.value.code is ErrorCode.VALIDATION_ERROR
        assert caught.value.details["field"] == "store_key"

    async def test_a_manifest_cannot_lead_out_of_its_store(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(5)))
        await catalog.extract(order)
        secret = disk.root / "secret"
        secret.write_text("hidden")
        stats = disk.store(order) / POINTS[0] / "stats.json"
        stats.unlink()
        stats.symlink_to(secret)
        with pytest.raises(MiStudioError) as caught:
            await catalog.ask(
                subjects.RPC_STORE_READ,
                ReadStoreFileRequest(store_key=order.store_key, path=f"{POINTS[0]}/stats.json"),
            )
        assert caught.value.details["reason"] == "no_such_file"

    async def test_a_store_that_is_not_there(self, catalog: Catalog) -> None:
        with pytest.raises(MiStudioError) as caught:
            await catalog.ask(subjects.RPC_STORE_FILES, ListStoreFilesRequest(store_key="0" * 32))
        assert caught.value.code is ErrorCode.CACHE_NOT_FOUND

    async def test_columns_and_then_the_whole_store_are_deleted(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        order = plan_order(tiny, disk.dataset(ragged_texts(20)))
        await catalog.extract(order)
        part = EvictStore(task_id=new_id("task"), store_key=order.store_key, hook_points=POINTS[:1])
        await catalog.order(subjects.WORK_EVICT_STORE, part)
        one = await catalog.report(StoreEvictedReport, task_id=part.task_id)
        assert (one.columns_left, one.freed_bytes > 0) == (1, True)
        whole = EvictStore(task_id=new_id("task"), store_key=order.store_key)
        for _ in range(2):
            await catalog.order(subjects.WORK_EVICT_STORE, whole)
        gone = await catalog.report(StoreEvictedReport, task_id=whole.task_id)
        assert gone.columns_left == 0
        await catalog.settled(subjects.WORK_EVICT_STORE)
        assert not disk.store(order).exists()

    async def test_an_order_given_again_is_reported_again(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        # Its first report was lost, or nobody would have given it again.
        order = plan_order(tiny, disk.dataset(ragged_texts(20)))
        orders = {
            subjects.WORK_PLACE: (place_order(tiny), subjects.REPORT_PLACED),
            subjects.WORK_PLAN: (order, subjects.REPORT_PLANNED),
            subjects.WORK_EVICT_STORE: (
                EvictStore(task_id=new_id("task"), store_key=order.store_key),
                subjects.REPORT_STORE_EVICTED,
            ),
        }
        for work, (message, report) in orders.items():
            for times in (1, 2):
                await catalog.order(work, message)
                await catalog.settled(work)
                assert await kept(catalog.js, report) == times


class TestDevice:
    async def test_it_keeps_its_id_and_tells_a_new_start(
        self, catalog: Catalog, disk: Disk
    ) -> None:
        for _ in range(2):
            seen = len(catalog.beats)
            async with running(create_app(disk.settings)):
                await until(lambda seen=seen: len(catalog.beats) > seen)  # type: ignore[misc]
        first, last = catalog.beats[0], catalog.beats[-1]
        assert first.device_id == last.device_id
        assert first.device_id.startswith("dev_")
        assert first.started_at < last.started_at
        assert first.kind == "cpu"
        assert first.memory_budget_bytes == 6 * 1024**3
        assert first.store_free_bytes > 0

    async def test_what_it_measured_with_when_it_was_killed_leaves(
        self, catalog: Catalog, disk: Disk
    ) -> None:
        settings = disk.settings
        settings.device_id_file.write_text("dev_a\n", encoding="ascii")
        stores = Path(settings.activation_cache_dir)
        ours, others = stores / ".probe-dev_a-1", stores / ".probe-dev_b-1"
        for each in (ours, others):
            each.mkdir(parents=True)
        async with running(create_app(settings)):
            assert not ours.exists()
            assert others.exists()

    async def test_it_works_on_while_nobody_takes_its_heartbeat(
        self, catalog: Catalog, disk: Disk, tiny: Artifact
    ) -> None:
        await catalog.be_away()
        order = place_order(tiny)
        async with running(create_app(disk.settings)) as life:
            await catalog.order(subjects.WORK_PLACE, order)
            await catalog.report(ModelPlacedReport, task_id=order.task_id)
            assert (await life.readiness())["heartbeat"]
        assert catalog.beats == []


async def test_memory_comes_back_after_a_load_that_failed(
    catalog: Catalog, disk: Disk, tmp_path: Path
) -> None:
    path = make_model(tmp_path / "broken", "gpt2", n_embd=512, n_layer=6, n_head=8)
    config = path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "n_layer": 7}))
    artifact = disk.artifact(path)
    async with running(create_app(disk.settings)):
        warm = place_order(artifact)
        await catalog.order(subjects.WORK_PLACE, warm)
        await catalog.report(ModelWorkFailedReport, task_id=warm.task_id)
        before = psutil.Process().memory_info().rss
        order = place_order(artifact)
        await catalog.order(subjects.WORK_PLACE, order)
        failed = await catalog.report(ModelWorkFailedReport, task_id=order.task_id)
        assert failed.failure.error.details["reason"] == "placing_failed"
        assert psutil.Process().memory_info().rss < before + artifact.bytes // 2
