"""Downloads of a store's files, piece by piece."""

import asyncio
import base64
import hashlib

import httpx
import pytest

from mistudio_contracts.errors import ErrorCode, NotFound, ServiceUnavailable
from mistudio_contracts.rpc import FileChunk
from mistudio_contracts.subjects import RPC_CACHE_GET, RPC_STORE_FILES, RPC_STORE_READ

CONTENT = bytes(range(256)) * 12_000
PATH = "/api/activations/act_1/files/layers.0.resid_post/00000.safetensors"


@pytest.fixture
def stored(catalog):
    """A store that holds one file of about three pieces."""

    def read(request):
        data = CONTENT[request.offset : request.offset + request.length]
        return FileChunk(
            data=base64.b64encode(data).decode(),
            total_bytes=len(CONTENT),
            eof=request.offset + len(data) >= len(CONTENT),
        )

    catalog.answer(RPC_STORE_READ, read)
    return catalog


async def test_the_files_behind_a_cache_are_listed(http, catalog):
    answer = await http.get("/api/activations/act_1/files")
    assert answer.json()["files"] == [{"path": "manifest.json", "bytes": 2}]
    assert catalog.last(RPC_STORE_FILES).store_key == "ab" * 16


async def test_a_file_comes_whole_with_its_length_and_as_it_is(http, stored):
    answer = await http.get(PATH, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-disposition"].endswith("00000.safetensors")
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(CONTENT).digest()
    asked = [r for name, r in stored.asked if name == RPC_STORE_READ.pattern]
    assert len(asked) == 3
    assert {r.path for r in asked} == {"layers.0.resid_post/00000.safetensors"}


async def test_a_download_goes_on_where_it_was_broken_off(http, stored):
    answer = await http.get(PATH, headers={"Range": "bytes=3000000-"})
    assert answer.status_code == 206
    assert answer.content == CONTENT[3_000_000:]
    assert answer.headers["content-range"] == f"bytes 3000000-{len(CONTENT) - 1}/{len(CONTENT)}"
    beyond = await http.get(PATH, headers={"Range": f"bytes={len(CONTENT)}-"})
    assert beyond.status_code == 400
    assert beyond.json()["error"]["details"]["field"] == "Range"


async def test_an_empty_file_is_a_file(http, catalog):
    catalog.answer(RPC_STORE_READ, lambda r: FileChunk(data="", total_bytes=0, eof=True))
    answer = await http.get(PATH)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        (RPC_CACHE_GET, NotFound("no cache", code=ErrorCode.CACHE_NOT_FOUND)),
        (RPC_STORE_READ, NotFound("no file")),
        (RPC_STORE_READ, ServiceUnavailable("no extractor")),
    ],
)
async def test_a_file_that_cannot_be_had_is_an_error_answer(http, catalog, subject, error):
    catalog.refuse(subject, error)
    answer = await http.get(PATH)
    assert answer.status_code == error.code.http_status
    assert answer.json()["error"]["code"] == error.code


async def test_a_file_that_changes_on_the_way_breaks_the_connection(http, stored):
    read = stored.answers[RPC_STORE_READ.pattern]

    def shrinking(request):
        chunk = read(request)
        return chunk.model_copy(update={"total_bytes": len(CONTENT) - request.offset})

    stored.answer(RPC_STORE_READ, shrinking)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(PATH)


async def test_a_reader_who_hangs_up_stops_the_reading(gateway, stored, kit):
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {kit.token()}\r\n\r\n".encode()
    )
    await kit.until(lambda: any(name == RPC_STORE_READ.pattern for name, _ in stored.asked))
    writer.close()
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/health/live")).status_code == 200
