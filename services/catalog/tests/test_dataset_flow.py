"""The way of a dataset, with the test as gateway and loader."""

from __future__ import annotations

from mistudio_contracts import reports as r
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts import work as w
from mistudio_contracts.errors import ErrorCode, InvalidInput
from mistudio_contracts.states import DatasetFormat, DatasetSource

from .support import World, failure, fingerprint_of, ingested


async def test_a_dataset_goes_from_ingesting_to_ready(world: World) -> None:
    dataset = await world.register_dataset(
        "texts", format=DatasetFormat.JSONL, text_column="text", split="test"
    )
    assert dataset.status == "ingesting"
    await world.event(subjects.DATASET_REGISTERED, dataset_id=dataset.id)
    order = await world.order(subjects.WORK_INGEST, w.IngestDataset)
    assert (order.identifier, order.split, order.text_column) == ("texts.jsonl", "test", "text")
    await world.publish(subjects.REPORT_INGESTED, ingested(order))
    event = await world.event(subjects.DATASET_READY)
    assert event["sample_count"] == 100
    ready = await world.dataset(dataset.id)
    assert ready.columns == {"text": "text", "ids": "tokens", "label": "other"}
    assert ready.preview == [{"text": "a\x00b", "label": None}], "whatever text there is"


async def test_a_dataset_that_cannot_be_read_fails(world: World) -> None:
    dataset = await world.register_dataset()
    order = await world.order(subjects.WORK_INGEST, w.IngestDataset)
    report = r.DatasetFailedReport(
        task_id=order.task_id,
        dataset_id=dataset.id,
        failure=failure("It is empty.", code=ErrorCode.VALIDATION_ERROR, remedy="Fill it."),
    )
    await world.publish(subjects.REPORT_INGEST_FAILED, report)
    await world.event(subjects.DATASET_FAILED, dataset_id=dataset.id)
    failed = await world.dataset(dataset.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.details["remedy"] == "Fill it."


async def test_a_dataset_deleted_while_it_is_ingested_leaves_no_files(world: World) -> None:
    dataset = await world.register_dataset()
    order = await world.order(subjects.WORK_INGEST, w.IngestDataset)
    delete = rpc.DeleteDatasetRequest(dataset_id=dataset.id)
    await world.ask(subjects.RPC_DATASET_DELETE, delete, rpc.Done)
    stopped = await world.event(subjects.CONTROL_CANCEL)
    assert stopped["task_ids"] == [order.task_id]
    await world.publish(subjects.REPORT_INGESTED, ingested(order))
    removed = await world.order(subjects.WORK_REMOVE_DATASET, w.RemoveDataset)
    assert removed.fingerprint == fingerprint_of(order.identifier)


async def test_files_that_are_being_ingested_again_are_not_removed(world: World) -> None:
    first = await world.ready_dataset()
    second = await world.register_dataset()
    delete = rpc.DeleteDatasetRequest(dataset_id=first.id)
    await world.ask(subjects.RPC_DATASET_DELETE, delete, rpc.Done)
    order = await world.order(subjects.WORK_INGEST, w.IngestDataset)
    await world.publish(subjects.REPORT_INGESTED, ingested(order))
    await world.event(subjects.DATASET_READY, dataset_id=second.id)
    delete = rpc.DeleteDatasetRequest(dataset_id=second.id)
    await world.ask(subjects.RPC_DATASET_DELETE, delete, rpc.Done)
    await world.order(subjects.WORK_REMOVE_DATASET, w.RemoveDataset)
    assert await world.pending(subjects.WORK_REMOVE_DATASET) == 0


async def test_lists_are_paged_newest_first(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.register_dataset(name)
    request = rpc.ListDatasetsRequest(limit=2)
    page = await world.ask(subjects.RPC_DATASET_LIST, request, views.DatasetPage)
    assert ([d.name for d in page.datasets], page.total) == (["c", "b"], 3)


async def test_a_malformed_hub_id_is_refused(world: World) -> None:
    request = rpc.RegisterDatasetRequest(
        name="x", source=DatasetSource.HUGGINGFACE, identifier="../x"
    )
    error = await world.refusal(subjects.RPC_DATASET_REGISTER, request)
    assert isinstance(error, InvalidInput)
    assert error.details["field"] == "identifier"
