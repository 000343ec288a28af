"""/api/datasets: register, upload, list, show and delete."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mistudio_contracts import rpc
from mistudio_contracts.errors import ErrorCode
from mistudio_contracts.states import DatasetFormat, Scope
from mistudio_contracts.subjects import (
    RPC_DATASET_DELETE,
    RPC_DATASET_GET,
    RPC_DATASET_LIST,
    RPC_DATASET_REGISTER,
)
from mistudio_contracts.views import Dataset, DatasetPage
from mistudio_gateway.rest import bodies
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import Caller, DatasetId, Here, IdempotencyKey, Limit, Offset
from mistudio_gateway.services.receive import receive_upload

operations = Operations("datasets")
LOCATION = {"Location": "Where the dataset is."}

UPLOAD_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "contentMediaType": "application/octet-stream",
                            "minLength": 1,
                            "description": "JSON lines, text, CSV or Parquet.",
                        },
                        "name": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 500,
                            "description": "The file's name when absent.",
                        },
                        "format": {"type": "string", "enum": [str(f) for f in DatasetFormat]},
                        "text_column": {"type": "string", "minLength": 1, "maxLength": 200},
                    },
                }
            }
        },
    }
}


@operations.add(
    "POST",
    "/api/datasets",
    scope=Scope.WRITE,
    status=201,
    headers=LOCATION,
    errors=(ErrorCode.STATUS_CONFLICT, ErrorCode.PAYLOAD_TOO_LARGE),
)
async def register_dataset(
    here: Here,
    caller: Caller,
    response: Response,
    body: bodies.RegisterDataset,
    idempotency_key: IdempotencyKey = None,
) -> Dataset:
    """Register a dataset under an allowed root or on the hub; it is ingested at once."""
    request = rpc.RegisterDatasetRequest(
        actor=caller.subject, idempotency_key=idempotency_key, **body.model_dump()
    )
    dataset = await here.catalog.ask(RPC_DATASET_REGISTER, request, Dataset)
    response.headers["Location"] = f"/api/datasets/{dataset.id}"
    return dataset


@operations.add(
    "POST",
    "/api/datasets/upload",
    scope=Scope.WRITE,
    status=201,
    headers=LOCATION,
    openapi=UPLOAD_FORM,
    errors=(
        ErrorCode.STATUS_CONFLICT,
        ErrorCode.PAYLOAD_TOO_LARGE,
        ErrorCode.INSUFFICIENT_STORAGE,
    ),
)
async def upload_dataset(
    here: Here,
    caller: Caller,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Dataset:
    """Upload a dataset's file; it is passed on as it arrives and ingested at once."""
    received = await receive_upload(
        here.uploads,
        request.headers.get("content-type"),
        request.headers.get("content-length"),
        request.stream(),
        limit=here.settings.max_upload_bytes,
        count=here.metrics.upload_bytes.inc,
    )
    question = rpc.RegisterDatasetRequest(
        actor=caller.subject, idempotency_key=idempotency_key, **received.fields()
    )
    try:
        dataset = await here.catalog.ask(RPC_DATASET_REGISTER, question, Dataset)
    except BaseException:
        await here.uploads.delete(received.object_name)
        raise
    if dataset.identifier != received.object_name:
        # The answer to an idempotency key seen before: the first upload is the one in use.
        await here.uploads.delete(received.object_name)
    response.headers["Location"] = f"/api/datasets/{dataset.id}"
    return dataset


@operations.add("GET", "/api/datasets", scope=Scope.READ)
async def list_datasets(
    here: Here, caller: Caller, limit: Limit = 50, offset: Offset = 0
) -> DatasetPage:
    """List datasets, the newest first."""
    request = rpc.ListDatasetsRequest(actor=caller.subject, limit=limit, offset=offset)
    return await here.catalog.ask(RPC_DATASET_LIST, request, DatasetPage)


@operations.add(
    "GET",
    "/api/datasets/{dataset_id}",
    scope=Scope.READ,
    errors=(ErrorCode.DATASET_NOT_FOUND,),
)
async def get_dataset(here: Here, caller: Caller, dataset_id: DatasetId) -> Dataset:
    """Show a dataset with its columns and its first samples."""
    request = rpc.GetDatasetRequest(actor=caller.subject, dataset_id=dataset_id)
    return await here.catalog.ask(RPC_DATASET_GET, request, Dataset)


@operations.add(
    "DELETE",
    "/api/datasets/{dataset_id}",
    scope=Scope.WRITE,
    status=204,
    errors=(ErrorCode.DATASET_NOT_FOUND, ErrorCode.STATUS_CONFLICT),
)
async def delete_dataset(here: Here, caller: Caller, dataset_id: DatasetId) -> None:
    """Delete a dataset; caches made from it stay."""
    request = rpc.DeleteDatasetRequest(actor=caller.subject, dataset_id=dataset_id)
    await here.catalog.ask(RPC_DATASET_DELETE, request, rpc.Done)
