"""/api/models: register, list, show, change, delete, load and unload."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body
from starlette.responses import Response

from mistudio_contracts import rpc
from mistudio_contracts.errors import ErrorCode, PreconditionFailed
from mistudio_contracts.states import ModelStatus, Scope
from mistudio_contracts.subjects import (
    RPC_HOOK_POINT_LIST,
    RPC_MODEL_DELETE,
    RPC_MODEL_GET,
    RPC_MODEL_LIST,
    RPC_MODEL_LOAD,
    RPC_MODEL_LOAD_CANCEL,
    RPC_MODEL_REGISTER,
    RPC_MODEL_UNLOAD,
    RPC_MODEL_UPDATE,
)
from mistudio_contracts.views import HookPointList, LoadAccepted, Model, ModelPage
from mistudio_gateway.context import Gateway
from mistudio_gateway.domain import versions
from mistudio_gateway.rest import bodies
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import (
    Caller,
    Here,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Limit,
    ModelId,
    ModelType,
    Offset,
    Search,
)

operations = Operations("models")
ETAG = {"ETag": "The version, for If-Match and If-None-Match."}
NO_MODEL = ErrorCode.MODEL_NOT_FOUND
CONFLICT = ErrorCode.STATUS_CONFLICT


@operations.add(
    "POST",
    "/api/models",
    scope=Scope.WRITE,
    status=201,
    headers={"Location": "Where the model is.", **ETAG},
    errors=(
        CONFLICT,
        ErrorCode.PAYLOAD_TOO_LARGE,
        ErrorCode.MODEL_TOO_LARGE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.MODEL_LOAD_FAILED,
    ),
)
async def register_model(
    here: Here,
    caller: Caller,
    response: Response,
    body: bodies.RegisterModel,
    idempotency_key: IdempotencyKey = None,
) -> Model:
    """Register a model: its config is read and checked, no weight is loaded."""
    request = rpc.RegisterModelRequest(
        actor=caller.subject, idempotency_key=idempotency_key, **body.model_dump()
    )
    model = await here.catalog.ask(
        RPC_MODEL_REGISTER, request, Model, timeout=here.settings.register_timeout_seconds
    )
    response.headers["Location"] = f"/api/models/{model.id}"
    response.headers["ETag"] = versions.etag_of(model.updated_at)
    return model


@operations.add("GET", "/api/models", scope=Scope.READ)
async def list_models(
    here: Here,
    caller: Caller,
    status: ModelStatus | None = None,
    model_type: ModelType = None,
    search: Search = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> ModelPage:
    """List models, the newest first."""
    request = rpc.ListModelsRequest(
        actor=caller.subject,
        status=status,
        model_type=model_type,
        search=search,
        limit=limit,
        offset=offset,
    )
    return await here.catalog.ask(RPC_MODEL_LIST, request, ModelPage)


@operations.add(
    "GET",
    "/api/models/{model_id}",
    scope=Scope.READ,
    headers=ETAG,
    responses={304: {"description": "It still is the version named by If-None-Match."}},
    errors=(NO_MODEL,),
    response_model=Model,
)
async def get_model(
    here: Here,
    caller: Caller,
    response: Response,
    model_id: ModelId,
    if_none_match: IfNoneMatch = None,
) -> Model | Response:
    """Show a model with its config."""
    model = await _get(here, caller.subject, model_id)
    etag = versions.etag_of(model.updated_at)
    if if_none_match is not None and versions.is_among(model.updated_at, if_none_match):
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return model


@operations.add(
    "GET",
    "/api/models/{model_id}/hook-points",
    scope=Scope.READ,
    errors=(NO_MODEL, CONFLICT),
)
async def list_hook_points(here: Here, caller: Caller, model_id: ModelId) -> HookPointList:
    """List where the model's activations can be captured, with widths, as proven at its load."""
    request = rpc.ListHookPointsRequest(actor=caller.subject, model_id=model_id)
    return await here.catalog.ask(RPC_HOOK_POINT_LIST, request, HookPointList)


@operations.add(
    "PATCH",
    "/api/models/{model_id}",
    scope=Scope.WRITE,
    headers=ETAG,
    errors=(NO_MODEL, CONFLICT, ErrorCode.PRECONDITION_FAILED, ErrorCode.PAYLOAD_TOO_LARGE),
)
async def update_model(
    here: Here,
    caller: Caller,
    response: Response,
    model_id: ModelId,
    body: bodies.UpdateModel,
    if_match: IfMatch = None,
) -> Model:
    """Change a model that is not loading; with If-Match only the version last seen."""
    seen = None
    if if_match is not None and (tags := versions.tags_in(if_match)) != ["*"]:
        moments = versions.moments_in(tags)
        if len(moments) > 1:
            current = (await _get(here, caller.subject, model_id)).updated_at
            moments = [moment for moment in moments if moment == current]
        if not moments:
            raise PreconditionFailed(
                "If-Match names no version of this model.",
                field="If-Match",
                reason="unknown_version",
                remedy="Read the model again and use its ETag.",
            )
        seen = moments[0]
    request = rpc.UpdateModelRequest(
        actor=caller.subject,
        model_id=model_id,
        if_match=seen,
        **body.model_dump(exclude_unset=True),
    )
    model = await here.catalog.ask(RPC_MODEL_UPDATE, request, Model)
    response.headers["ETag"] = versions.etag_of(model.updated_at)
    return model


@operations.add(
    "DELETE",
    "/api/models/{model_id}",
    scope=Scope.WRITE,
    status=204,
    errors=(NO_MODEL, CONFLICT),
)
async def delete_model(here: Here, caller: Caller, model_id: ModelId) -> None:
    """Delete a model, its artifact and its activation caches."""
    request = rpc.DeleteModelRequest(actor=caller.subject, model_id=model_id)
    await here.catalog.ask(RPC_MODEL_DELETE, request, rpc.Done)


@operations.add(
    "POST",
    "/api/models/{model_id}/load",
    scope=Scope.WRITE,
    errors=(
        NO_MODEL,
        CONFLICT,
        ErrorCode.PAYLOAD_TOO_LARGE,
        ErrorCode.MODEL_TOO_LARGE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.MODEL_LOAD_FAILED,
        ErrorCode.INSUFFICIENT_MEMORY,
        ErrorCode.INSUFFICIENT_STORAGE,
    ),
)
async def load_model(
    here: Here,
    caller: Caller,
    model_id: ModelId,
    body: Annotated[bodies.LoadModel | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> LoadAccepted:
    """Begin to load a model; the WebSocket tells how it goes."""
    request = rpc.LoadModelRequest(
        actor=caller.subject,
        idempotency_key=idempotency_key,
        model_id=model_id,
        **({} if body is None else body.model_dump()),
    )
    return await here.catalog.ask(RPC_MODEL_LOAD, request, LoadAccepted)


@operations.add(
    "POST", "/api/models/{model_id}/load/cancel", scope=Scope.WRITE, errors=(NO_MODEL, CONFLICT)
)
async def cancel_load(
    here: Here, caller: Caller, model_id: ModelId, idempotency_key: IdempotencyKey = None
) -> Model:
    """Cancel a load; the model goes back to where it was."""
    request = rpc.CancelLoadRequest(
        actor=caller.subject, idempotency_key=idempotency_key, model_id=model_id
    )
    return await here.catalog.ask(RPC_MODEL_LOAD_CANCEL, request, Model)


@operations.add(
    "POST", "/api/models/{model_id}/unload", scope=Scope.WRITE, errors=(NO_MODEL, CONFLICT)
)
async def unload_model(
    here: Here, caller: Caller, model_id: ModelId, idempotency_key: IdempotencyKey = None
) -> Model:
    """Take a model out of device memory; its artifact stays on disk."""
    request = rpc.UnloadModelRequest(
        actor=caller.subject, idempotency_key=idempotency_key, model_id=model_id
    )
    return await here.catalog.ask(RPC_MODEL_UNLOAD, request, Model)


async def _get(here: Gateway, actor: str, model_id: str) -> Model:
    request = rpc.GetModelRequest(actor=actor, model_id=model_id)
    return await here.catalog.ask(RPC_MODEL_GET, request, Model)
