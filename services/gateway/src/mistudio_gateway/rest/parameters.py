"""Parameters of paths, queries and headers, and what handlers depend on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query
from pydantic import BeforeValidator, StringConstraints
from starlette.requests import Request

from mistudio_contracts.base import Identifier
from mistudio_contracts.values import RelativePath
from mistudio_gateway.context import Gateway
from mistudio_servicekit.auth import Principal


def plain_integer(value: Any) -> Any:
    """Refuse what Python reads as an integer and people do not, such as ``1_0``."""
    if isinstance(value, str) and not value.removeprefix("-").isdecimal():
        raise ValueError("an integer is needed")
    return value


# Asynchronous, though they wait for nothing: FastAPI sends any other to a thread and back.
async def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Here = Annotated[Gateway, Depends(_gateway)]
Caller = Annotated[Principal, Depends(_principal)]

ModelId = Annotated[Identifier, Path(examples=["m_gpt2_medium_3f9a1c2b7d"])]
ExtractionId = Annotated[Identifier, Path(examples=["ext_3f9a1c2b7d"])]
DatasetId = Annotated[Identifier, Path(examples=["ds_prose_3f9a1c2b7d"])]
CacheId = Annotated[Identifier, Path(examples=["act_3f9a1c2b7d"])]
FilePath = Annotated[RelativePath, Path(examples=["layers.6.resid_post/00000.safetensors"])]
AfterFile = Annotated[
    RelativePath | None,
    Query(description="The answer before's `next`.", examples=["tokens/00000.safetensors"]),
]

Limit = Annotated[
    int,
    BeforeValidator(plain_integer),
    Query(ge=1, le=500, description="Most entries of the page."),
]
Offset = Annotated[
    int,
    BeforeValidator(plain_integer),
    Query(ge=0, le=10_000_000, description="Entries to skip."),
]
Search = Annotated[str | None, Query(min_length=1, max_length=200, description="Part of a name.")]
ModelType = Annotated[str | None, Query(min_length=1, max_length=100)]
ModelFilter = Annotated[Identifier | None, Query(description="Only of this model.")]
DatasetFilter = Annotated[Identifier | None, Query(description="Only of this dataset.")]

IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")] | None,
    Header(
        alias="Idempotency-Key",
        description="The same key again gives the first answer again and does nothing twice.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag last seen; else 412.", max_length=1000),
]
IfNoneMatch = Annotated[
    str | None,
    Header(alias="If-None-Match", description="The ETag last seen; 304 if it still is."),
]
