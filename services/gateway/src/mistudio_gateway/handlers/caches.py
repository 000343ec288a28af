"""/api/activations: caches of activations and their files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import quote

from fastapi import Header
from starlette.responses import Response, StreamingResponse

from mistudio_contracts import rpc
from mistudio_contracts.errors import ErrorCode, InvalidInput
from mistudio_contracts.states import Scope
from mistudio_contracts.subjects import (
    RPC_CACHE_EVICT,
    RPC_CACHE_LIST,
    RPC_STORE_FILES,
    RPC_STORE_VERIFY,
)
from mistudio_contracts.views import Cache, CachePage, StoreFiles, StoreVerification
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import (
    AfterFile,
    CacheId,
    Caller,
    DatasetFilter,
    FilePath,
    Here,
    Limit,
    ModelFilter,
    Offset,
)

operations = Operations("activations")
NO_CACHE = ErrorCode.CACHE_NOT_FOUND
_FROM = re.compile(r"^bytes=(\d{1,18})-$")


@operations.add("GET", "/api/activations", scope=Scope.READ)
async def list_caches(
    here: Here,
    caller: Caller,
    model_id: ModelFilter = None,
    dataset_id: DatasetFilter = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> CachePage:
    """List activation caches, the newest first."""
    request = rpc.ListCachesRequest(
        actor=caller.subject,
        model_id=model_id,
        dataset_id=dataset_id,
        limit=limit,
        offset=offset,
    )
    return await here.catalog.ask(RPC_CACHE_LIST, request, CachePage)


@operations.add("GET", "/api/activations/{cache_id}", scope=Scope.READ, errors=(NO_CACHE,))
async def get_cache(here: Here, caller: Caller, cache_id: CacheId) -> Cache:
    """Show a cache with the statistics of its columns."""
    return await here.catalog.cache(caller.subject, cache_id)


@operations.add(
    "DELETE",
    "/api/activations/{cache_id}",
    scope=Scope.WRITE,
    status=204,
    errors=(NO_CACHE, ErrorCode.STATUS_CONFLICT),
)
async def delete_cache(here: Here, caller: Caller, cache_id: CacheId) -> None:
    """Delete a cache, and those of its columns that no other cache shows."""
    request = rpc.EvictCacheRequest(actor=caller.subject, cache_id=cache_id)
    await here.catalog.ask(RPC_CACHE_EVICT, request, rpc.Done)


@operations.add("GET", "/api/activations/{cache_id}/files", scope=Scope.READ, errors=(NO_CACHE,))
async def list_files(here: Here, caller: Caller, cache_id: CacheId) -> StoreFiles:
    """List the files of the store behind a cache, for download."""
    cache = await here.catalog.cache(caller.subject, cache_id)
    request = rpc.ListStoreFilesRequest(store_key=cache.store_key)
    return await here.catalog.ask(RPC_STORE_FILES, request, StoreFiles)


@operations.add(
    "GET",
    "/api/activations/{cache_id}/files/{path:path}",
    scope=Scope.READ,
    response_class=Response,
    headers={"Content-Disposition": "The file's own name."},
    responses={
        200: {
            "description": "The file.",
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        },
        206: {
            "description": "The rest of the file, for a Range header that reads bytes=N-.",
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        },
    },
    errors=(NO_CACHE, ErrorCode.NOT_FOUND),
)
async def download_file(
    here: Here,
    caller: Caller,
    cache_id: CacheId,
    path: FilePath,
    range_: Annotated[
        str | None, Header(alias="Range", description="bytes=N- goes on from byte N.")
    ] = None,
) -> Response:
    """Download a file of the store behind a cache. ``Range: bytes=N-`` resumes."""
    cache = await here.catalog.cache(caller.subject, cache_id)
    asked = _FROM.match(range_ or "")
    start = int(asked.group(1)) if asked else 0
    file = await here.stores.open(cache.store_key, path, start)
    total = file.total_bytes
    if start and start >= total:
        raise InvalidInput(
            "The range begins behind the end of the file.",
            field="Range",
            reason="out_of_range",
            total_bytes=total,
            remedy="The file is complete already, or another one now: download it anew.",
        )

    async def body() -> AsyncIterator[bytes]:
        async with aclosing(file.pieces(total)) as pieces:
            async for piece in pieces:
                yield piece

    headers = {
        "Content-Length": str(total - start),
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(PurePosixPath(path).name)}",
    }
    if asked:
        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
    return StreamingResponse(
        body(),
        status_code=206 if asked else 200,
        media_type="application/octet-stream",
        headers=headers,
    )


@operations.add("POST", "/api/activations/{cache_id}/verify", scope=Scope.READ, errors=(NO_CACHE,))
async def verify_cache(
    here: Here, caller: Caller, cache_id: CacheId, after: AfterFile = None
) -> StoreVerification:
    """Read a cache's files where they lie and compare them with what was written.

    An answer is of some of them, about two seconds' worth; ask again until ``next`` is null.
    """
    cache = await here.catalog.cache(caller.subject, cache_id)
    request = rpc.VerifyStoreRequest(
        store_key=cache.store_key, hook_points=cache.hook_points, after=after
    )
    return await here.catalog.ask(
        RPC_STORE_VERIFY,
        request,
        StoreVerification,
        timeout=here.settings.verify_timeout_seconds,
    )
