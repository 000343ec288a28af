"""A whole cache as one archive, from a link whose ticket opens that cache alone, for a while."""

import base64
import io
import tarfile
from datetime import timedelta

import httpx
import jwt
import numpy as np
import pytest

import mistudio_activations as ma
from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ErrorCode, NotFound, ServiceUnavailable
from mistudio_contracts.rpc import FileChunk
from mistudio_contracts.subjects import RPC_CACHE_GET, RPC_STORE_FILES, RPC_STORE_READ
from mistudio_contracts.views import StoreFile, StoreFiles
from mistudio_gateway.domain import tickets

LINK = "/api/activations/act_1/download-link"


@pytest.fixture
def store(tmp_path):
    """A store on the disk: a column of two pieces and more, and its tokens."""
    root = tmp_path / "store"
    rows = np.arange(40_000 * 16, dtype=np.float32).reshape(-1, 16)
    offsets, ids = np.array([0, len(rows)]), np.zeros(len(rows), np.int32)
    tokens = ma.write_tokens(root, 0, ids, offsets, np.array([0]))
    with ma.ShardWriter(root, "layers.0.resid_post", 0, *rows.shape, "float32") as writer:
        writer.write(0, rows)
        written = writer.close()
    ma.commit(root, columns={"layers.0.resid_post": [written]}, token_shards=[tokens], info={})
    return root


@pytest.fixture
def stored(catalog, store):
    """A catalog beside an extractor that holds the store."""

    def files(request):
        found = sorted(path for path in store.rglob("*") if path.is_file())
        return StoreFiles(
            store_key=request.store_key,
            files=[
                StoreFile(path=str(path.relative_to(store)), bytes=path.stat().st_size)
                for path in found
            ],
        )

    def read(request):
        content = (store / request.path).read_bytes()
        data = content[request.offset : request.offset + request.length]
        end = request.offset + len(data) >= len(content)
        encoded = base64.b64encode(data).decode()
        return FileChunk(data=encoded, total_bytes=len(content), eof=end)

    catalog.answer(RPC_STORE_FILES, files)
    catalog.answer(RPC_STORE_READ, read)
    return catalog


@pytest.fixture
async def browser(gateway):
    """A client without a token, as a browser is that follows a link."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20) as client:
        yield client


def unpacked(content, target):
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(target, filter="data")
        return archive.getmembers()


async def test_the_archive_unpacks_to_the_store(http, browser, stored, store, tmp_path, kit):
    link = (await http.post(LINK)).json()
    assert (link["file_name"], link["url"].split("?")[0]) == (
        "act_1.tar",
        "/api/activations/act_1/archive",
    )
    answer = await browser.get(link["url"], headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["content-disposition"] == 'attachment; filename="act_1.tar"'
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == (
        "no-store",
        "no-referrer",
    )
    assert "content-encoding" not in answer.headers
    assert len(answer.content) == link["bytes"] == int(answer.headers["content-length"])

    members = unpacked(answer.content, tmp_path / "copy")
    assert members[-1].name == "act_1/manifest.json", "what is cut short is no store"
    assert {each.mtime for each in members} == {int(kit.NOW.timestamp())}
    copy = ma.open(tmp_path / "copy" / "act_1")
    copy.verify()
    np.testing.assert_array_equal(
        copy["layers.0.resid_post"][:], ma.open(store)["layers.0.resid_post"][:]
    )


async def test_what_an_extraction_adds_meanwhile_is_not_in_the_archive(
    http, browser, stored, store, tmp_path
):
    read = stored.answers[RPC_STORE_READ.pattern]

    def growing(request):
        if request.path != "manifest.json":
            (store / "manifest.json").write_bytes(b"{}")
        return read(request)

    stored.answer(RPC_STORE_READ, growing)
    answer = await browser.get((await http.post(LINK)).json()["url"])
    unpacked(answer.content, tmp_path / "copy")
    ma.open(tmp_path / "copy" / "act_1").verify()


async def test_a_file_that_changes_meanwhile_breaks_the_download(http, browser, stored, store):
    read = stored.answers[RPC_STORE_READ.pattern]

    def longer(request):
        chunk = read(request)
        more = 0 if request.path == "manifest.json" else 1
        return chunk.model_copy(update={"total_bytes": chunk.total_bytes + more})

    url = (await http.post(LINK)).json()["url"]
    stored.answer(RPC_STORE_READ, longer)
    with pytest.raises(httpx.RemoteProtocolError):
        await browser.get(url)


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        (RPC_CACHE_GET, NotFound("no cache", code=ErrorCode.CACHE_NOT_FOUND)),
        (RPC_STORE_FILES, NotFound("no store", code=ErrorCode.CACHE_NOT_FOUND)),
        (RPC_STORE_READ, ServiceUnavailable("no extractor")),
    ],
)
async def test_an_archive_that_cannot_be_had_is_an_error_answer(
    http, browser, stored, subject, error
):
    url = (await http.post(LINK)).json()["url"]
    stored.refuse(subject, error)
    answer = await browser.get(url)
    assert answer.status_code == error.code.http_status
    assert answer.json()["error"]["code"] == error.code


async def test_a_ticket_opens_its_own_cache_alone(http, browser, stored):
    url = (await http.post(LINK)).json()["url"]
    answer = await browser.get(url.replace("act_1", "act_2"))
    refused(answer)
    assert (await browser.get(url)).status_code == 200


async def test_a_ticket_is_no_access_token_and_an_access_token_no_ticket(
    http, browser, stored, kit
):
    ticket = (await http.post(LINK)).json()["url"].split("ticket=")[1]
    header = {"Authorization": f"Bearer {ticket}"}
    assert (await browser.get("/api/activations/act_1", headers=header)).status_code == 401
    for wrong in (kit.token(), "x", ticket[:-4] + "AAAA"):
        refused(await browser.get(f"/api/activations/act_1/archive?ticket={wrong}"))
    with_header = {"Authorization": f"Bearer {kit.token()}"}
    answer = await browser.get("/api/activations/act_1/archive", headers=with_header)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "ticket"


async def test_a_ticket_is_of_use_for_some_minutes(http, browser, stored, kit, monkeypatch):
    link = (await http.post(LINK)).json()
    claims = jwt.decode(
        link["url"].split("ticket=")[1], kit.SECRET, ["HS256"], audience=tickets.AUDIENCE
    )
    assert claims["sub"] == "ann"
    left = claims["exp"] - utcnow().timestamp()
    assert timedelta(minutes=4).total_seconds() < left <= tickets.LIFETIME.total_seconds()
    monkeypatch.setattr(tickets, "LIFETIME", timedelta(seconds=-1))
    late = (await http.post(LINK)).json()["url"]
    refused(await browser.get(late))


def refused(answer):
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["code"], error["details"]["reason"]) == ("UNAUTHORIZED", "expired_link")
    assert error["details"]["remedy"]
