"""What Prometheus is told: how things end, counted once they are committed, and what waits."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mistudio_catalog.metrics import Metrics, family_of
from mistudio_catalog.services.measures import Measures
from mistudio_catalog.storage.database import Database
from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import ServiceUnavailable
from mistudio_servicekit.metering import Meters

from .support import World, asking, failure, loading


@pytest.fixture
def world(own_world: World) -> World:
    """Whose counts begin at nothing."""
    return own_world


def told(world: World, name: str, **labels: Any) -> float:
    value = world.metrics.get_sample_value(f"mistudio_catalog_{name}", labels)
    assert value is not None, (name, labels)
    return value


def load(world: World, outcome: str, stage: str, family: str = "gpt2") -> float:
    return told(world, "loads_total", outcome=outcome, stage=stage, family=family)


async def test_a_load_that_ends_well_is_counted_with_its_family_and_seconds(world: World) -> None:
    assert load(world, "ready", "placing") == 0
    await world.ready_model()
    assert load(world, "ready", "placing") == 1
    assert told(world, "load_seconds_count") == 1


async def test_a_load_that_fails_is_counted_in_the_stage_where_it_did(world: World) -> None:
    model = await world.register()
    await world.load(model.id)
    order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    await world.publish(
        subjects.LIVE_LOAD, loading(order.task_id, model.id, progress=10.0, stage="downloading")
    )
    await world.event(subjects.MODEL_LOAD_PROGRESS, stage="downloading")
    report = r.ModelWorkFailedReport(
        task_id=order.task_id, model_id=model.id, failure=failure("No more of it.")
    )
    await world.publish(subjects.REPORT_PREPARE_FAILED, report)
    await world.event(subjects.MODEL_FAILED, model_id=model.id)
    assert load(world, "failed", "downloading") == 1


async def test_a_load_that_is_called_off_or_whose_model_is_deleted_is_neither_good_nor_bad(
    world: World,
) -> None:
    model = await world.register()
    await world.load(model.id)
    await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    cancel = rpc.CancelLoadRequest(model_id=model.id, actor="alice")
    await world.ask(subjects.RPC_MODEL_LOAD_CANCEL, cancel, views.Model)
    assert load(world, "cancelled", "resolving") == 1
    await world.load(model.id)
    await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    delete = rpc.DeleteModelRequest(model_id=model.id, actor="alice")
    await world.ask(subjects.RPC_MODEL_DELETE, delete, rpc.Done)
    assert load(world, "cancelled", "resolving") == 2
    assert load(world, "failed", "resolving") == 0


@pytest.mark.parametrize(
    ("model_type", "family"), [("llama", "llama"), ("x" * 90, "other"), (None, "unknown")]
)
def test_families_are_a_few_words(model_type: str | None, family: str) -> None:
    assert family_of(model_type) == family


async def test_what_the_cache_answers_is_a_hit_and_saves_all_its_bytes(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    done = await world.extract(model.id, dataset.id, [0, 1])
    assert told(world, "cache_answers_total", result="miss") == 1
    assert told(world, "extraction_seconds_count") == 1
    assert told(world, "cache_saved_bytes_total") == 0
    assert (await world.request(model.id, dataset.id, [0, 1])).cached
    assert told(world, "cache_answers_total", result="hit") == 1
    assert told(world, "cache_saved_bytes_total") == done.file_size_bytes
    assert told(world, "extractions_total", outcome="completed") == 2
    assert told(world, "extraction_seconds_count") == 1, "of what is computed alone"


async def test_what_a_plan_finds_in_the_store_is_saved_too(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    await world.request(model.id, dataset.id, [0])
    order = await world.plan(compute=False)
    await world.order(subjects.WORK_COMMIT, w.CommitExtraction)
    assert order.hook_points == ["layers.0.resid_post"]
    # 100 samples of 10 tokens; a row of 64 floats and its norm.
    assert told(world, "cache_saved_bytes_total") == 1000 * (64 * 4 + 4)


async def test_extractions_that_are_cancelled_are_counted(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    accepted = await world.request(model.id, dataset.id, [0])
    cancel = rpc.CancelExtractionRequest(extraction_id=accepted.extraction_id, actor="alice")
    await world.ask(subjects.RPC_EXTRACTION_CANCEL, cancel, views.Extraction)
    assert told(world, "extractions_total", outcome="cancelled") == 1
    assert told(world, "extractions_total", outcome="completed") == 0


async def test_what_a_refused_request_would_have_changed_is_not_counted(world: World) -> None:
    model, dataset = await world.ready_model(), await world.ready_dataset()
    first = await world.request(model.id, dataset.id, [0], extraction_id="ext_mine")
    assert first.extraction_id == "ext_mine"
    again = asking(model.id, dataset.id, [0], extraction_id="ext_mine")
    await world.refusal(subjects.RPC_EXTRACTION_REQUEST, again)
    for outcome in ("completed", "failed", "cancelled"):
        assert told(world, "extractions_total", outcome=outcome) == 0


async def test_what_waits_and_who_is_there_is_read_when_somebody_looks(world: World) -> None:
    await world.heartbeat()
    for name in ("one", "two", "three"):
        await world.load((await world.register(name)).id)
    await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    await world.life.measure()
    prepare = "work.default.model.prepare"
    # Two loads have a slot; the order of one has just been taken.
    assert told(world, "loads_in_progress", phase="preparing") == 2
    assert told(world, "loads_in_progress", phase="waiting") == 1
    assert told(world, "waiting_seconds", kind="load") > 0
    assert told(world, "waiting_seconds", kind="extraction") == 0
    assert told(world, "models", status="loading") == 3
    assert told(world, "devices", state="online") == 1
    assert told(world, "queue_messages", subject=prepare, state="waiting") == 1
    assert told(world, "queue_age_seconds", subject=prepare) > 0
    assert told(world, "queue_workers", subject=prepare) == 0
    assert told(world, "queue_workers", subject="report.model.placed") == 1
    assert told(world, "queue_age_seconds", subject="report.model.placed") == 0
    assert told(world, "dead_letters") == 0
    assert told(world, "outbox_messages") == 0
    assert told(world, "database_connections_limit") == 20


async def test_figures_that_cannot_be_read_are_no_numbers() -> None:
    meters = Meters()
    metrics = Metrics(meters)
    measures = Measures(Database("postgresql://nobody@127.0.0.1:1/none"), metrics, 100)
    metrics.outbox_lag.set(3.0)
    with pytest.raises(ServiceUnavailable):
        await measures.rows()
    lag = meters.registry.get_sample_value("mistudio_catalog_outbox_lag_seconds")
    assert lag is not None
    assert math.isnan(lag)
    assert meters.registry.get_sample_value("mistudio_catalog_store_limit_bytes") == 100
