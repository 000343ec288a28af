"""Downloading a whole cache as one archive, from a link that a browser can follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import FastAPI, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mistudio_contracts import rpc
from mistudio_contracts.errors import ErrorCode
from mistudio_contracts.states import Scope
from mistudio_contracts.subjects import RPC_STORE_FILES
from mistudio_contracts.views import DownloadLink, StoreFiles
from mistudio_gateway.context import Gateway
from mistudio_gateway.domain import tickets
from mistudio_gateway.rest.operations import Operations, error_answers
from mistudio_gateway.rest.parameters import CacheId, Caller, Here
from mistudio_gateway.services.archive import Archive
from mistudio_servicekit.auth import Principal

operations = Operations("activations")
PATH = "/api/activations/{cache_id}/archive"
ERRORS = (
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.UNAUTHORIZED,
    ErrorCode.CACHE_NOT_FOUND,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.SERVICE_UNAVAILABLE,
)


@operations.add(
    "POST",
    "/api/activations/{cache_id}/download-link",
    scope=Scope.READ,
    errors=(ErrorCode.CACHE_NOT_FOUND,),
)
async def link_download(here: Here, caller: Caller, cache_id: CacheId) -> DownloadLink:
    """Make a link to a cache's store as one archive, good for some minutes and for this alone."""
    archive = await _archive(here, caller.subject, cache_id)
    secret = here.settings.jwt_secret_key.get_secret_value()
    ticket, ends = tickets.issue(secret, caller.subject, cache_id)
    return DownloadLink(
        url=f"{PATH.format(cache_id=cache_id)}?ticket={ticket}",
        file_name=f"{cache_id}.tar",
        bytes=archive.length,
        expires_at=ends,
    )


async def download_archive(
    request: Request,
    here: Here,
    cache_id: CacheId,
    ticket: Annotated[str, Query(min_length=1, max_length=tickets.MOST_CHARACTERS)],
) -> Response:
    """Download a cache's store as one tar archive, which unpacks to a store."""
    secret = here.settings.jwt_secret_key.get_secret_value()
    subject, ends = tickets.redeem(ticket, secret, cache_id)
    request.state.principal = Principal(subject=subject, expires_at=ends)
    archive = await _archive(here, subject, cache_id)
    await archive.open()

    async def body() -> AsyncIterator[bytes]:
        async with aclosing(archive.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    headers = {
        "Content-Length": str(archive.length),
        "Content-Disposition": f'attachment; filename="{cache_id}.tar"',
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return StreamingResponse(body(), media_type="application/x-tar", headers=headers)


def install(app: FastAPI) -> None:
    """Add the route that a link leads to: its ticket stands for the access token."""
    app.add_api_route(
        PATH,
        download_archive,
        methods=["GET"],
        response_class=Response,
        responses={
            **error_answers(ERRORS),
            200: {
                "description": "The archive.",
                "content": {"application/x-tar": {"schema": {"type": "string"}}},
            },
        },
        tags=[operations.tag],
        operation_id=download_archive.__name__,
    )


async def _archive(here: Gateway, actor: str, cache_id: str) -> Archive:
    cache = await here.catalog.cache(actor, cache_id)
    request = rpc.ListStoreFilesRequest(store_key=cache.store_key)
    files = await here.catalog.ask(RPC_STORE_FILES, request, StoreFiles)
    return Archive(here.stores, files, cache_id, cache.created_at)
