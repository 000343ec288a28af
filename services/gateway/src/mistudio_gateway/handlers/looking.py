"""Looking into what is stored, and how long a dataset's rows are: figures for pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from mistudio_contracts import looking
from mistudio_contracts.base import Identifier
from mistudio_contracts.errors import ErrorCode, InvalidInput
from mistudio_contracts.states import Scope
from mistudio_contracts.subjects import (
    RPC_STORE_HEAT_MAP,
    RPC_STORE_NORMS,
    RPC_STORE_TOP_TOKENS,
    RPC_TOKEN_LENGTHS,
    Subject,
)
from mistudio_contracts.views import Cache
from mistudio_gateway.context import Gateway
from mistudio_gateway.rest import bodies
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import CacheId, Caller, Here, ModelId
from mistudio_gateway.services.catalog import Answer

operations = Operations("looking")
ERRORS = (ErrorCode.CACHE_NOT_FOUND, ErrorCode.EXTRACTION_FAILED)


@operations.add("GET", "/api/activations/{cache_id}/norms", scope=Scope.READ, errors=ERRORS)
async def get_norms(here: Here, caller: Caller, cache_id: CacheId) -> looking.Norms:
    """Tell the mean norm of rows by hook point and position, over the first samples."""
    cache = await here.catalog.cache(caller.subject, cache_id)
    request = looking.NormsRequest(
        store_key=cache.store_key,
        hook_points=cache.hook_points,
        sample_count=cache.sample_count,
    )
    return await _ask(here, RPC_STORE_NORMS, request, looking.Norms)


@operations.add(
    "POST",
    "/api/activations/{cache_id}/heat-map",
    scope=Scope.READ,
    errors=(*ERRORS, ErrorCode.PAYLOAD_TOO_LARGE),
)
async def show_heat_map(
    here: Here, caller: Caller, cache_id: CacheId, body: bodies.ShowHeatMap
) -> looking.HeatMap:
    """Tell a number for each token of some samples: its row's norm, or what ``along`` says."""
    cache = await _showing(here, caller.subject, cache_id, body.hook_point)
    request = looking.HeatMapRequest(
        **body.model_dump(), store_key=cache.store_key, sample_count=cache.sample_count
    )
    return await _ask(here, RPC_STORE_HEAT_MAP, request, looking.HeatMap)


@operations.add(
    "POST",
    "/api/activations/{cache_id}/top-tokens",
    scope=Scope.READ,
    errors=(*ERRORS, ErrorCode.PAYLOAD_TOO_LARGE),
)
async def find_top_tokens(
    here: Here, caller: Caller, cache_id: CacheId, body: bodies.FindTopTokens
) -> looking.TopTokens:
    """Find the tokens where a neuron, a direction or the norm is largest, or least."""
    cache = await _showing(here, caller.subject, cache_id, body.hook_point)
    request = looking.TopTokensRequest(
        **body.model_dump(), store_key=cache.store_key, sample_count=cache.sample_count
    )
    return await _ask(here, RPC_STORE_TOP_TOKENS, request, looking.TopTokens)


@operations.add(
    "GET",
    "/api/models/{model_id}/token-lengths",
    scope=Scope.READ,
    errors=(
        ErrorCode.MODEL_NOT_FOUND,
        ErrorCode.DATASET_NOT_FOUND,
        ErrorCode.STATUS_CONFLICT,
        ErrorCode.MODEL_LOAD_FAILED,
        ErrorCode.EXTRACTION_FAILED,
    ),
)
async def get_token_lengths(
    here: Here,
    caller: Caller,
    model_id: ModelId,
    dataset_id: Annotated[Identifier, Query(examples=["ds_prose_3f9a1c2b7d"])],
    column: Annotated[
        str | None,
        Query(min_length=1, max_length=200, description="Left out: the dataset's own."),
    ] = None,
    add_special_tokens: bool = True,
) -> looking.TokenLengths:
    """Tell how long a dataset's rows are in this model's tokens."""
    request = looking.TokenLengthsRequest(
        actor=caller.subject,
        model_id=model_id,
        dataset_id=dataset_id,
        column=column,
        add_special_tokens=add_special_tokens,
    )
    return await _ask(here, RPC_TOKEN_LENGTHS, request, looking.TokenLengths)


async def _ask(here: Gateway, subject: Subject, request: BaseModel, answer: type[Answer]) -> Answer:
    seconds = here.settings.look_timeout_seconds
    return await here.catalog.ask(subject, request, answer, timeout=seconds)


async def _showing(here: Gateway, actor: str, cache_id: str, hook_point: str) -> Cache:
    cache = await here.catalog.cache(actor, cache_id)
    if hook_point not in cache.hook_points:
        raise InvalidInput(
            f"The cache has no rows of {hook_point}.",
            field="hook_point",
            reason="not_cached",
            available=cache.hook_points,
            remedy="Choose one of those that it has, or extract this one too.",
        )
    return cache
