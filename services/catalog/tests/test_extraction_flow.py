"""The way of an extraction, with the test as gateway and extractor."""

from __future__ import annotations

import pytest

from mistudio_catalog.config import CatalogSettings
from mistudio_catalog.services.capture import PLANNED_AHEAD
from mistudio_catalog.services.turns import ORDERS_A_DEVICE
from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import ErrorCode, InvalidInput, RateLimited, StatusConflict
from mistudio_contracts.states import Dtype, Quantization
from mistudio_contracts.values import PlanCursor, QuantizationError, Skipped

from .support import (
    World,
    asking,
    captured,
    committed,
    evicted,
    facts,
    failure,
    part,
    planned,
    running_world,
)


async def test_an_extraction_goes_from_queued_to_completed(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0, -1])
    assert (accepted.status, accepted.cached) == ("queued", False)
    plan = await world.plan(shards=3)
    assert plan.tokenization.column == "text"
    assert plan.tokenization.max_length == 128
    assert plan.hook_points == ["layers.0.resid_post", "layers.11.resid_post"]
    for _ in range(3):
        await world.capture()
    commit = await world.commit()
    assert commit.shards == 3
    assert (commit.samples, commit.tokens) == (99, 990)
    done = await world.event(subjects.EXTRACTION_COMPLETED)
    shown = await world.extraction(accepted.extraction_id)
    assert (shown.status, shown.progress, shown.cached) == ("completed", 100, False)
    assert shown.skipped == Skipped(empty=1)
    assert shown.activation_shape == [990, 64]
    assert shown.file_size_bytes == 2 * 990 * 256 + 990 * 4
    assert done["cache_id"] == shown.cache_id
    names = [n for n, d in world.seen if d.get("extraction_id") == accepted.extraction_id]
    assert names[0] == "extraction.queued"
    told = [d["progress"] for d in world.events(subjects.EXTRACTION_PROGRESS)]
    assert told == sorted(told)
    assert told[-1] < 100
    shards = world.events(subjects.EXTRACTION_SHARD_COMPLETED)
    assert [s["shards_completed"] for s in shards] == [1, 2, 3]


async def test_the_same_request_again_is_answered_from_the_cache(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    first = await world.extract(model.id, dataset.id, [0, 6], sample_count=50)
    again = await world.request(model.id, dataset.id, [6, 0], sample_count=50)
    assert (again.status, again.cached, again.cache_id) == ("completed", True, first.cache_id)
    assert again.message == "Using cached activations"
    shown = await world.extraction(again.extraction_id)
    assert shown.cached
    assert shown.total_tokens == first.total_tokens
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=again.extraction_id)
    fewer = await world.request(model.id, dataset.id, [6], sample_count=50)
    assert fewer.cached
    assert fewer.cache_id != first.cache_id
    assert await world.pending(subjects.WORK_PLAN) == 0


async def test_all_samples_by_number_or_by_default_are_one_request(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset(samples=100)
    await world.extract(model.id, dataset.id, [0])
    assert (await world.request(model.id, dataset.id, [0], sample_count=100)).cached
    assert (await world.request(model.id, dataset.id, [0], sample_count=5000)).cached


async def test_fewer_samples_are_planned_and_then_found_in_the_cache(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.extract(model.id, dataset.id, [0])
    fewer = await world.request(model.id, dataset.id, [0], sample_count=10)
    assert fewer.status == "queued"
    plan = await world.plan(compute=False)
    assert plan.sample_count == 10
    assert await world.pending(subjects.WORK_SHARD) == 0
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=fewer.extraction_id)
    shown = await world.extraction(fewer.extraction_id)
    assert (shown.cached, shown.total_samples) == (True, 10)
    assert (await world.request(model.id, dataset.id, [0], sample_count=10)).cached


async def test_an_unloaded_model_is_loaded_by_itself(world: World) -> None:
    model, dataset = await world.unloaded_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0])
    assert accepted.status == "queued"
    await world.prepare()
    await world.place()
    await world.plan()
    await world.capture()
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=accepted.extraction_id)


async def test_an_extraction_waits_for_a_loading_model(world: World) -> None:
    model, dataset = await world.register(), await world.ready_dataset()
    await world.load(model.id)
    accepted = await world.request(model.id, dataset.id, [0])
    assert accepted.status == "queued"
    assert await world.pending(subjects.WORK_PLAN) == 0
    await world.prepare()
    await world.place()
    await world.plan()


async def test_an_extraction_fails_with_the_load_it_waits_for(world: World) -> None:
    model, dataset = await world.register(), await world.ready_dataset()
    task = (await world.load(model.id)).task_id
    accepted = await world.request(model.id, dataset.id, [0])
    report = r.ModelWorkFailedReport(
        task_id=task, model_id=model.id, failure=failure("No room.", remedy="Unload one.")
    )
    await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    await world.publish(subjects.REPORT_PREPARE_FAILED, report)
    event = await world.event(subjects.EXTRACTION_FAILED, extraction_id=accepted.extraction_id)
    assert event["error"]["details"]["reason"] == "model_load_failed"
    assert "No room." in event["error"]["message"]


async def test_an_extraction_fails_with_the_load_that_is_cancelled(world: World) -> None:
    model, dataset = await world.unloaded_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0])
    await world.event(subjects.MODEL_LOADING, count=2, model_id=model.id)
    cancel = rpc.CancelLoadRequest(model_id=model.id)
    await world.ask(subjects.RPC_MODEL_LOAD_CANCEL, cancel, views.Model)
    event = await world.event(subjects.EXTRACTION_FAILED, extraction_id=accepted.extraction_id)
    assert event["error"]["details"]["reason"] == "load_cancelled"
    assert (await world.model(model.id)).status == "unloaded", "it is not loaded again"


async def test_a_second_extraction_on_a_store_waits_and_finds_what_is_there(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    first = await world.request(model.id, dataset.id, [0])
    second = await world.request(model.id, dataset.id, [0])
    await world.plan()
    assert await world.pending(subjects.WORK_PLAN) == 0
    await world.capture()
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=first.extraction_id)
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=second.extraction_id)
    shown = await world.extraction(second.extraction_id)
    assert shown.cached
    assert await world.pending(subjects.WORK_PLAN) == 0


async def test_at_most_a_window_of_shards_is_ordered(settings: CatalogSettings) -> None:
    narrow = settings.model_copy(update={"shard_window": 2})
    async with running_world(narrow) as world:
        model, dataset = await world.ready_model(), await world.ready_dataset()
        await world.request(model.id, dataset.id, [0])
        await world.plan(shards=5)
        await world.event(subjects.EXTRACTION_PROGRESS)
        seen = []
        for done in range(5):
            order = await world.order(subjects.WORK_SHARD, w.CaptureShard)
            assert await world.pending(subjects.WORK_SHARD) <= 1
            await world.publish(subjects.REPORT_SHARD, captured(order))
            await world.event(subjects.EXTRACTION_SHARD_COMPLETED, count=done + 1)
            seen.append(order.shard.index)
        assert seen == [0, 1, 2, 3, 4]


async def test_a_long_plan_comes_in_parts_while_its_shards_are_captured(
    settings: CatalogSettings,
) -> None:
    narrow = settings.model_copy(update={"shard_window": 1})
    async with running_world(narrow) as world:
        model, dataset = await world.ready_model(), await world.ready_dataset()
        accepted = await world.request(model.id, dataset.id, [0])
        ahead = PLANNED_AHEAD * ORDERS_A_DEVICE
        first = await world.plan_part(ahead + 1, rows=2 * (ahead + 1))
        assert (first.begin, first.most_shards) == (None, 4)
        # So many shards wait that the rest is planned only when there is room.
        shard = await world.order(subjects.WORK_SHARD, w.CaptureShard)
        assert await world.pending(subjects.WORK_PLAN) == 0
        shown = await world.extraction(accepted.extraction_id)
        assert (shown.status, shown.total_samples, shown.total_tokens) == ("extracting", None, None)
        await world.publish(subjects.REPORT_SHARD, captured(shard))
        assert (await world.capture()).shard.index == 1
        second = await world.order(subjects.WORK_PLAN, w.PlanExtraction)
        cut = ahead + 1
        assert second.begin == PlanCursor(row=2 * cut, shards=cut, samples=2 * cut, tokens=2 * cut)
        assert second.most_shards == cut
        last = part(second, 1, 100)
        for told in (part(first, cut, 2 * cut), last, last):
            await world.publish(subjects.REPORT_PLANNED, told)
        for index in range(2, cut + 1):
            order = await world.capture()
            assert (order.shard.index, order.shard.sample_start) == (index, 2 * index)
        commit = await world.commit()
        assert (commit.shards, commit.samples, commit.tokens) == (cut + 1, 100, 100)
        await world.event(subjects.EXTRACTION_COMPLETED)
        told = [d["progress"] for d in world.events(subjects.EXTRACTION_PROGRESS)]
        assert told == sorted(told)
        totals = [d["total_samples"] for d in world.events(subjects.EXTRACTION_PROGRESS)]
        assert set(totals) == {0, 100}
        assert totals == sorted(totals)


async def test_a_plan_that_fails_late_ends_in_one_failure_with_nothing_visible(
    world: World,
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0])
    await world.plan_part(1, rows=90)
    late = await world.order(subjects.WORK_PLAN, w.PlanExtraction)
    report = r.ExtractionWorkFailedReport(
        task_id=late.task_id,
        extraction_id=late.extraction_id,
        failure=failure("Row 91 has the token id 999.", reason="token_out_of_range"),
    )
    await world.publish(subjects.REPORT_EXTRACTION_FAILED, report)
    event = await world.event(subjects.EXTRACTION_FAILED)
    assert event["error"]["details"]["reason"] == "token_out_of_range"
    await world.capture()
    evict = await world.order(subjects.WORK_EVICT_STORE, w.EvictStore)
    assert (evict.store_key, evict.hook_points) == (late.store_key, None)
    shown = await world.extraction(accepted.extraction_id)
    assert (shown.status, shown.cache_id) == ("failed", None)
    assert await world.pending(subjects.WORK_COMMIT) == 0


async def test_a_plan_that_the_disk_would_not_hold_by_far_is_refused_with_its_first_part(
    world: World,
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0])
    row = 64 * 4 + 4
    await world.heartbeat({model.id: "0" * 32}, store_free_bytes=40 * row)
    await world.plan_part(1, rows=10)
    event = await world.event(subjects.EXTRACTION_FAILED)
    assert event["error"]["details"]["required_bytes"] == 100 * row
    assert event["error"]["details"]["available_bytes"] == 40 * row


async def test_live_progress_counts_shards_under_way(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset(samples=100)
    accepted = await world.request(model.id, dataset.id, [0])
    plan = await world.plan(shards=1)
    await world.order(subjects.WORK_SHARD, w.CaptureShard)
    for samples in (40, 20, 1000):
        live = r.ShardProgressedReport(
            task_id=plan.task_id,
            extraction_id=accepted.extraction_id,
            shard_index=0,
            samples_done=samples,
        )
        await world.publish(subjects.LIVE_SHARD, live)
    await world.event(subjects.EXTRACTION_PROGRESS, progress=99)
    told = [d["progress"] for d in world.events(subjects.EXTRACTION_PROGRESS)]
    assert told == [0, 40, 99]


async def test_a_cancelled_extraction_is_over_and_late_reports_are_void(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0])
    plan = await world.plan(shards=2)
    shard = await world.order(subjects.WORK_SHARD, w.CaptureShard)
    cancel = rpc.CancelExtractionRequest(extraction_id=accepted.extraction_id)
    over = await world.ask(subjects.RPC_EXTRACTION_CANCEL, cancel, views.Extraction)
    assert (over.status, over.cache_id) == ("cancelled", None)
    await world.event(subjects.EXTRACTION_CANCELLED)
    assert (await world.event(subjects.CONTROL_CANCEL))["task_ids"] == [plan.task_id]
    assert plan.task_id in (await world.heartbeat()).cancelled
    await world.publish(subjects.REPORT_SHARD, captured(shard))
    again = await world.ask(subjects.RPC_EXTRACTION_CANCEL, cancel, views.Extraction)
    assert again.status == "cancelled"
    # Half-written files leave the disk, and only then the store is used again.
    evict = await world.order(subjects.WORK_EVICT_STORE, w.EvictStore)
    assert (evict.store_key, evict.hook_points) == (plan.store_key, None)
    other = await world.request(model.id, dataset.id, [1])
    assert await world.pending(subjects.WORK_PLAN) == 0
    gone = r.StoreEvictedReport(
        task_id=evict.task_id, store_key=evict.store_key, freed_bytes=1, columns_left=0
    )
    await world.publish(subjects.REPORT_STORE_EVICTED, gone)
    assert (await world.plan()).extraction_id == other.extraction_id
    assert world.events(subjects.EXTRACTION_SHARD_COMPLETED) == []


async def test_a_failed_step_fails_the_extraction_once(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0])
    order = await world.order(subjects.WORK_PLAN, w.PlanExtraction)
    report = r.ExtractionWorkFailedReport(
        task_id=order.task_id,
        extraction_id=order.extraction_id,
        failure=failure(
            "All samples are too long.",
            code=ErrorCode.EXTRACTION_FAILED,
            reason="no_samples",
            remedy="Raise max_length.",
        ),
    )
    for _ in range(2):
        await world.publish(subjects.REPORT_EXTRACTION_FAILED, report)
    await world.publish(subjects.REPORT_PLANNED, planned(order))
    event = await world.event(subjects.EXTRACTION_FAILED, extraction_id=accepted.extraction_id)
    assert event["error"]["details"]["reason"] == "no_samples"
    await world.heartbeat()
    shown = await world.extraction(accepted.extraction_id)
    assert shown.status == "failed"
    assert len(world.events(subjects.EXTRACTION_FAILED)) == 1


async def test_doubled_reports_count_once(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0])
    order = await world.order(subjects.WORK_PLAN, w.PlanExtraction)
    for _ in range(2):
        await world.publish(subjects.REPORT_PLANNED, planned(order, 2))
    first = await world.order(subjects.WORK_SHARD, w.CaptureShard)
    for _ in range(3):
        await world.publish(subjects.REPORT_SHARD, captured(first))
    await world.capture()
    commit = await world.order(subjects.WORK_COMMIT, w.CommitExtraction)
    for _ in range(2):
        await world.publish(subjects.REPORT_COMMITTED, committed(commit))
    await world.event(subjects.EXTRACTION_COMPLETED)
    assert await world.pending(subjects.WORK_SHARD) == 0
    assert len(world.events(subjects.EXTRACTION_SHARD_COMPLETED)) == 2
    assert commit.shards == 2


async def test_what_the_disk_would_not_hold_is_refused_before_anything_is_run(
    world: World,
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0, 1])
    needed = 2 * 1000 * (64 * 4 + 4)
    await world.heartbeat({model.id: "0" * 32}, store_free_bytes=needed - 1)
    await world.plan()
    event = await world.event(subjects.EXTRACTION_FAILED)
    assert event["error"]["code"] == "INSUFFICIENT_STORAGE"
    assert event["error"]["details"]["required_bytes"] == needed
    assert event["error"]["details"]["available_bytes"] == needed - 1
    assert "fewer samples" in event["error"]["details"]["remedy"]
    assert (await world.extraction(accepted.extraction_id)).status == "failed"
    assert await world.pending(subjects.WORK_SHARD) == 0


async def test_what_just_fits_the_disk_is_captured(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0, 1])
    await world.heartbeat({model.id: "0" * 32}, store_free_bytes=2 * 1000 * (64 * 4 + 4))
    await world.plan()
    await world.capture()
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED)


async def test_int8_takes_a_fourth_of_the_disk_and_its_error_is_shown(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0, 1], dtype="int8")
    await world.heartbeat({model.id: "0" * 32}, store_free_bytes=2 * 1000 * (64 + 4 + 4))
    plan = await world.plan()
    assert plan.dtype is Dtype.INT8
    await world.capture()
    error = QuantizationError(relative_error=0.005, max_row_error=0.02, mean_cosine=0.9999)
    await world.commit(quantization_error=error)
    done = await world.event(subjects.EXTRACTION_COMPLETED)
    cache = await world.ask(
        subjects.RPC_CACHE_GET, rpc.GetCacheRequest(cache_id=done["cache_id"]), views.Cache
    )
    assert cache.dtype is Dtype.INT8
    assert [column.quantization_error for column in cache.columns] == [error, error]


async def test_what_overflowed_float16_once_is_kept_as_bfloat16_by_default(world: World) -> None:
    model = await world.ready_model(quantization=Quantization.FP16)
    dataset = await world.ready_dataset()
    first = await world.request(model.id, dataset.id, [0])
    assert (await world.plan()).dtype is Dtype.FLOAT16
    await world.capture()
    await world.commit(overflow=3, non_finite=3)
    await world.event(subjects.EXTRACTION_COMPLETED, extraction_id=first.extraction_id)
    second = await world.request(model.id, dataset.id, [0])
    assert not second.cached
    assert (await world.plan()).dtype is Dtype.BFLOAT16
    assert (await world.request(model.id, dataset.id, [0], dtype="float16")).cached


async def test_what_a_cancelled_extraction_leaves_in_a_used_store_is_collected(
    world: World,
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.extract(model.id, dataset.id, [0])
    more = await world.request(model.id, dataset.id, [1])
    plan = await world.plan()
    assert await world.pending(subjects.WORK_EVICT_STORE) == 0
    await world.ask(
        subjects.RPC_EXTRACTION_CANCEL,
        rpc.CancelExtractionRequest(extraction_id=more.extraction_id),
        views.Extraction,
    )
    order = await world.order(subjects.WORK_EVICT_STORE, w.EvictStore)
    assert (order.store_key, order.hook_points) == (plan.store_key, ["layers.1.resid_post"])
    over = await world.extraction(more.extraction_id)
    assert order.unnamed_before is not None
    assert over.completed_at is not None
    assert abs((order.unnamed_before - over.completed_at).total_seconds()) < 1


async def test_a_commit_that_lost_a_column_fails(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0, 1])
    await world.plan()
    await world.capture()
    commit = await world.order(subjects.WORK_COMMIT, w.CommitExtraction)
    await world.publish(subjects.REPORT_COMMITTED, committed(commit, ["layers.0.resid_post"]))
    event = await world.event(subjects.EXTRACTION_FAILED)
    assert event["error"]["details"]["reason"] == "columns_missing"


async def test_a_model_in_use_is_neither_unloaded_nor_deleted(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0])
    for subject in (subjects.RPC_MODEL_UNLOAD, subjects.RPC_MODEL_DELETE):
        error = await world.refusal(subject, subject.payload(model_id=model.id))
        assert isinstance(error, StatusConflict)
        assert error.details["active_extractions"] == 1
    delete = rpc.DeleteDatasetRequest(dataset_id=dataset.id)
    assert isinstance(await world.refusal(subjects.RPC_DATASET_DELETE, delete), StatusConflict)


async def test_a_model_evicted_while_an_extraction_needs_it_is_not_sent_away(
    world: World,
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0])
    await world.plan()
    await world.publish(subjects.REPORT_EVICTED, evicted(model.id, model.task_id or "", "lru"))
    await world.event(subjects.MODEL_UNLOADED, reason="lru")
    # The extractor brings it in again by itself, for the shard; the row follows.
    assert (await world.heartbeat({model.id: "f" * 32})).release == []
    await world.capture()
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED)
    await world.prepare()
    await world.place()
    await world.event(subjects.MODEL_READY, count=2, model_id=model.id)
    assert (await world.heartbeat({model.id: "f" * 32})).release == []


async def test_no_more_than_five_extractions_are_taken(settings: CatalogSettings) -> None:
    few = settings.model_copy(update={"max_active_extractions": 2})
    async with running_world(few) as world:
        model, dataset = await world.ready_model(), await world.ready_dataset()
        for layer in range(2):
            await world.request(model.id, dataset.id, [layer])
        third = asking(model.id, dataset.id, [3])
        error = await world.refusal(subjects.RPC_EXTRACTION_REQUEST, third)
        assert isinstance(error, RateLimited)
        assert error.details["retry_after_seconds"] > 0
        page = await world.ask(
            subjects.RPC_EXTRACTION_LIST, rpc.ListExtractionsRequest(), views.ExtractionPage
        )
        assert page.total == 2


async def test_a_key_repeats_the_answer(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    first = await world.request(model.id, dataset.id, [0], actor="a", idempotency_key="k")
    second = await world.request(model.id, dataset.id, [0], actor="a", idempotency_key="k")
    assert first == second


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"layer_indices": [12]}, "layer_indices"),
        ({"tokenization": {"column": "nope"}}, "tokenization.column"),
        ({"tokenization": {"max_length": 999}}, "tokenization.max_length"),
        ({"sample_count": 0}, "sample_count"),
        ({"layer_indices": []}, None),
        ({"dtype": "int4"}, "dtype"),
    ],
)
async def test_bad_requests_name_the_field(
    world: World, change: dict[str, object], field: str | None
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    request = asking(model.id, dataset.id, [0])
    bad = request.model_copy(update={"command": {**request.command, **change}})
    error = await world.refusal(subjects.RPC_EXTRACTION_REQUEST, bad)
    assert isinstance(error, InvalidInput)
    assert error.details.get("field") == field or field is None


async def test_unknown_things_have_codes_of_their_own(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    ask = subjects.RPC_EXTRACTION_REQUEST
    error = await world.refusal(ask, asking("m_no", dataset.id, [0]))
    assert error.code is ErrorCode.MODEL_NOT_FOUND
    error = await world.refusal(ask, asking(model.id, "ds_no", [0]))
    assert error.code is ErrorCode.DATASET_NOT_FOUND
    accepted = await world.request(model.id, dataset.id, [0])
    get = rpc.GetExtractionRequest(extraction_id=accepted.extraction_id, model_id="m_other")
    error = await world.refusal(subjects.RPC_EXTRACTION_GET, get)
    assert error.code is ErrorCode.EXTRACTION_NOT_FOUND


async def test_a_taken_extraction_id_is_refused(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0], extraction_id="ext_mine")
    again = asking(model.id, dataset.id, [1], extraction_id="ext_mine")
    error = await world.refusal(subjects.RPC_EXTRACTION_REQUEST, again)
    assert error.details["field"] == "extraction_id"


async def test_the_time_is_estimated_from_what_was_measured(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    first = await world.request(model.id, dataset.id, [0])
    assert first.estimated_time_seconds is None
    await world.plan()
    await world.capture()
    await world.commit()
    await world.event(subjects.EXTRACTION_COMPLETED)
    second = await world.request(model.id, dataset.id, [5])
    # 1000 tokens through one block took half a second; now they go through six.
    assert second.estimated_time_seconds == pytest.approx(3.0)
    assert second.estimated_bytes == 1000 * (64 * 4 + 4)


async def test_an_extractor_is_asked_what_is_missing_and_what_is_cached_costs_nothing(
    world: World,
) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    asked: list[rpc.ProbeExtractionRequest] = []

    async def probe(request: rpc.ProbeExtractionRequest) -> rpc.ExtractionProbe:
        asked.append(request)
        first, *others = request.hook_points
        lacking = {first: 0, **dict.fromkeys(others, 400)}
        return rpc.ExtractionProbe(
            tokens=1000, rows_sampled=10, missing=lacking, work_per_second=800
        )

    await world.answer(subjects.RPC_PROBE, probe)
    await world.heartbeat({model.id: "0" * 32}, store_free_bytes=10**9)
    estimate = await world.ask(
        subjects.RPC_EXTRACTION_ESTIMATE,
        asking(model.id, dataset.id, [0, 3]),
        views.ExtractionEstimate,
    )
    assert asked[0].measure
    assert estimate.estimated_time_seconds == pytest.approx(400 * 4 / 800)
    assert estimate.estimated_bytes == 400 * (64 * 4 + 4)
    assert (estimate.available_bytes, estimate.total_tokens) == (10**9, 1000)
    assert not estimate.cached
    page = await world.ask(
        subjects.RPC_EXTRACTION_LIST, rpc.ListExtractionsRequest(), views.ExtractionPage
    )
    assert page.total == 0, "nothing is begun"
    accepted = await world.request(model.id, dataset.id, [0, 3])
    assert accepted.estimated_time_seconds == estimate.estimated_time_seconds
    assert accepted.estimated_bytes == estimate.estimated_bytes


async def test_what_the_disk_lacks_by_far_is_refused_at_the_request(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()

    async def probe(request: rpc.ProbeExtractionRequest) -> rpc.ExtractionProbe:
        return rpc.ExtractionProbe(
            tokens=1000, missing=dict.fromkeys(request.hook_points, 1000), unknown="Busy."
        )

    await world.answer(subjects.RPC_PROBE, probe)
    needed = 1000 * (64 * 4 + 4)
    await world.heartbeat({model.id: "0" * 32}, store_free_bytes=needed // 2 - 1)
    error = await world.refusal(subjects.RPC_EXTRACTION_REQUEST, asking(model.id, dataset.id, [0]))
    assert error.code is ErrorCode.INSUFFICIENT_STORAGE
    assert error.details["required_bytes"] == needed
    await world.heartbeat({model.id: "0" * 32}, store_free_bytes=needed // 2)
    near = await world.request(model.id, dataset.id, [0])
    assert (near.status, near.estimated_time_seconds) == ("queued", None)
    assert near.estimate_unknown == "Busy."


async def test_a_model_whose_layers_are_unknown_is_waited_for(world: World) -> None:
    world.inspect = lambda _: facts(num_layers=None)
    model, dataset = await world.register(), await world.ready_dataset()
    await world.load(model.id)
    error = await world.refusal(subjects.RPC_EXTRACTION_REQUEST, asking(model.id, dataset.id, [0]))
    assert error.details["reason"] == "facts_unknown"
