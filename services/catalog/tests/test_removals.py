"""What lies on the disk and nobody knows of leaves it, and nothing else does."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects
from mistudio_contracts import work as w
from mistudio_contracts.base import utcnow

from .support import World, fingerprint_of, ingested, prepared

NOBODYS = "f" * 32
LONG_AGO = utcnow() - timedelta(days=365)


def lying(*fingerprints: str | None, since: datetime | None = None) -> list[r.OnDisk]:
    at = since or utcnow()
    return [r.OnDisk(fingerprint=each or "", written_at=at) for each in fingerprints]


async def tell(world: World, **there: list[r.OnDisk]) -> None:
    report = r.DiskReport(pool="default", **there)
    await world.ask(subjects.RPC_DISK_REPORT, report, rpc.Done)


async def removed(world: World) -> str:
    """Take the order to remove an artifact; there is no other one."""
    order = await world.order(subjects.WORK_REMOVE, w.RemoveArtifact)
    assert await world.pending(subjects.WORK_REMOVE) == 0
    return order.fingerprint


async def delete(world: World, model_id: str) -> None:
    request = rpc.DeleteModelRequest(model_id=model_id)
    await world.ask(subjects.RPC_MODEL_DELETE, request, rpc.Done)


async def test_an_artifact_whose_report_was_lost_leaves_once_its_model_is_deleted(
    world: World,
) -> None:
    kept = await world.ready_model("kept")
    gone = await world.register("gone")
    await world.load(gone.id)
    lost = prepared(await world.order(subjects.WORK_PREPARE, w.PrepareModel)).artifact.fingerprint
    await delete(world, gone.id)
    await tell(world, artifacts=lying(kept.fingerprint, lost))
    assert await removed(world) == lost


async def test_an_artifact_whose_report_is_under_way_is_left_to_its_model(world: World) -> None:
    model = await world.register()
    await world.load(model.id)
    order = await world.order(subjects.WORK_PREPARE, w.PrepareModel)
    made = prepared(order).artifact.fingerprint
    await tell(world, artifacts=lying(made))
    await world.publish(subjects.REPORT_PREPARED, prepared(order))
    await world.place()
    await world.event(subjects.MODEL_READY, model_id=model.id)
    assert await world.pending(subjects.WORK_REMOVE) == 0
    await tell(world, artifacts=lying(made))
    await delete(world, model.id)
    assert await removed(world) == made, "ordered once, and not before"


async def test_an_order_to_remove_that_was_lost_is_given_again(world: World) -> None:
    model, dataset = await world.unloaded_model(), await world.ready_dataset()
    connection = await asyncpg.connect(world.settings.database_url)
    await connection.execute("UPDATE models SET artifact_bytes = NULL")
    await connection.close()
    request = rpc.DeleteDatasetRequest(dataset_id=dataset.id)
    await world.ask(subjects.RPC_DATASET_DELETE, request, rpc.Done)
    lost = await world.order(subjects.WORK_REMOVE_DATASET, w.RemoveDataset)
    await tell(world, artifacts=lying(model.fingerprint), datasets=lying(NOBODYS, lost.fingerprint))
    assert await removed(world) == model.fingerprint, "it had left for want of room"
    again = [await world.order(subjects.WORK_REMOVE_DATASET, w.RemoveDataset) for _ in "ab"]
    assert {each.fingerprint for each in again} == {lost.fingerprint, NOBODYS}


async def test_files_of_a_dataset_that_is_being_ingested_are_left_to_it(world: World) -> None:
    dataset = await world.register_dataset()
    order = await world.order(subjects.WORK_INGEST, w.IngestDataset)
    made = fingerprint_of(order.identifier)
    await tell(world, datasets=lying(made))
    await world.publish(subjects.REPORT_INGESTED, ingested(order))
    await world.event(subjects.DATASET_READY, dataset_id=dataset.id)
    await tell(world, datasets=lying(made, NOBODYS))
    removed = await world.order(subjects.WORK_REMOVE_DATASET, w.RemoveDataset)
    assert removed.fingerprint == NOBODYS
    assert await world.pending(subjects.WORK_REMOVE_DATASET) == 0


async def test_files_of_before_all_that_the_database_knows_are_left_alone(world: World) -> None:
    await tell(world, artifacts=lying("a" * 32), datasets=lying("b" * 32))
    await world.register()
    await tell(world, artifacts=lying("a" * 32, "b" * 32, since=LONG_AGO))
    await tell(world, artifacts=lying(NOBODYS))
    assert await removed(world) == NOBODYS
    assert await world.pending(subjects.WORK_REMOVE_DATASET) == 0
