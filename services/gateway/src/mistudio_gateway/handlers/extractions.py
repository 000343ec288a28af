"""Extractions: request, follow, list and cancel."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from mistudio_contracts import rpc
from mistudio_contracts.commands import RequestExtraction
from mistudio_contracts.errors import ErrorCode
from mistudio_contracts.states import ExtractionStatus, Scope
from mistudio_contracts.subjects import (
    RPC_EXTRACTION_CANCEL,
    RPC_EXTRACTION_ESTIMATE,
    RPC_EXTRACTION_GET,
    RPC_EXTRACTION_LIST,
    RPC_EXTRACTION_REQUEST,
)
from mistudio_contracts.views import (
    Extraction,
    ExtractionAccepted,
    ExtractionEstimate,
    ExtractionPage,
)
from mistudio_gateway.rest import bodies
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import (
    Caller,
    DatasetFilter,
    ExtractionId,
    Here,
    IdempotencyKey,
    Limit,
    ModelFilter,
    ModelId,
    Offset,
)
from mistudio_servicekit.validation import invalid_input

operations = Operations("extractions")
NO_EXTRACTION = ErrorCode.EXTRACTION_NOT_FOUND


@operations.add(
    "POST",
    "/api/models/{model_id}/extract-activations",
    scope=Scope.WRITE,
    status=202,
    headers={"Location": "Where the extraction is."},
    errors=(
        ErrorCode.MODEL_NOT_FOUND,
        ErrorCode.DATASET_NOT_FOUND,
        ErrorCode.STATUS_CONFLICT,
        ErrorCode.PAYLOAD_TOO_LARGE,
        ErrorCode.MODEL_TOO_LARGE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.EXTRACTION_FAILED,
        ErrorCode.INSUFFICIENT_MEMORY,
        ErrorCode.INSUFFICIENT_STORAGE,
    ),
)
async def extract_activations(
    here: Here,
    caller: Caller,
    response: Response,
    model_id: ModelId,
    body: bodies.ExtractActivations,
    idempotency_key: IdempotencyKey = None,
) -> ExtractionAccepted:
    """Capture hook points over a dataset; what is cached is not computed."""
    request = rpc.ExtractionRequest(
        actor=caller.subject,
        idempotency_key=idempotency_key,
        command=_command(model_id, body, caller.subject),
    )
    accepted = await here.catalog.ask(
        RPC_EXTRACTION_REQUEST,
        request,
        ExtractionAccepted,
        timeout=here.settings.register_timeout_seconds,
    )
    response.headers["Location"] = f"/api/extractions/{accepted.extraction_id}"
    return accepted


@operations.add(
    "POST",
    "/api/models/{model_id}/extract-activations/estimate",
    scope=Scope.READ,
    errors=(
        ErrorCode.MODEL_NOT_FOUND,
        ErrorCode.DATASET_NOT_FOUND,
        ErrorCode.STATUS_CONFLICT,
        ErrorCode.PAYLOAD_TOO_LARGE,
    ),
)
async def estimate_extraction(
    here: Here, caller: Caller, model_id: ModelId, body: bodies.ExtractActivations
) -> ExtractionEstimate:
    """Tell how long an extraction would take and what it would write; nothing is begun."""
    request = rpc.ExtractionRequest(
        actor=caller.subject, command=_command(model_id, body, caller.subject)
    )
    return await here.catalog.ask(
        RPC_EXTRACTION_ESTIMATE,
        request,
        ExtractionEstimate,
        timeout=here.settings.register_timeout_seconds,
    )


def _command(model_id: str, body: bodies.ExtractActivations, actor: str) -> dict[str, Any]:
    try:
        command = RequestExtraction.model_validate(
            {**body.model_dump(mode="json"), "model_id": model_id, "requested_by": actor}
        )
    except ValidationError as error:
        raise invalid_input(error) from error
    return command.model_dump(mode="json")


@operations.add(
    "GET",
    "/api/models/{model_id}/activations/{extraction_id}",
    scope=Scope.READ,
    errors=(ErrorCode.MODEL_NOT_FOUND, NO_EXTRACTION),
)
async def get_model_extraction(
    here: Here, caller: Caller, model_id: ModelId, extraction_id: ExtractionId
) -> Extraction:
    """Show an extraction of this model."""
    request = rpc.GetExtractionRequest(
        actor=caller.subject, extraction_id=extraction_id, model_id=model_id
    )
    return await here.catalog.ask(RPC_EXTRACTION_GET, request, Extraction)


@operations.add("GET", "/api/extractions", scope=Scope.READ)
async def list_extractions(
    here: Here,
    caller: Caller,
    model_id: ModelFilter = None,
    dataset_id: DatasetFilter = None,
    status: ExtractionStatus | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> ExtractionPage:
    """List extractions, the newest first."""
    request = rpc.ListExtractionsRequest(
        actor=caller.subject,
        model_id=model_id,
        dataset_id=dataset_id,
        status=status,
        limit=limit,
        offset=offset,
    )
    return await here.catalog.ask(RPC_EXTRACTION_LIST, request, ExtractionPage)


@operations.add(
    "GET", "/api/extractions/{extraction_id}", scope=Scope.READ, errors=(NO_EXTRACTION,)
)
async def get_extraction(here: Here, caller: Caller, extraction_id: ExtractionId) -> Extraction:
    """Show an extraction."""
    request = rpc.GetExtractionRequest(actor=caller.subject, extraction_id=extraction_id)
    return await here.catalog.ask(RPC_EXTRACTION_GET, request, Extraction)


@operations.add(
    "POST",
    "/api/extractions/{extraction_id}/cancel",
    scope=Scope.WRITE,
    errors=(NO_EXTRACTION, ErrorCode.STATUS_CONFLICT),
)
async def cancel_extraction(
    here: Here, caller: Caller, extraction_id: ExtractionId, idempotency_key: IdempotencyKey = None
) -> Extraction:
    """Cancel an extraction; what it captured so far is not kept."""
    request = rpc.CancelExtractionRequest(
        actor=caller.subject, idempotency_key=idempotency_key, extraction_id=extraction_id
    )
    return await here.catalog.ask(RPC_EXTRACTION_CANCEL, request, Extraction)
