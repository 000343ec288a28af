"""Uploads: streamed into the object store, whole or not at all."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import nats
import pytest
import pytest_asyncio

from mistudio_contracts.errors import ErrorCode, InvalidInput
from mistudio_contracts.subjects import RPC_DATASET_REGISTER
from mistudio_contracts.topology import UPLOADS_BUCKET

CONTENT = b'{"text": "hello"}\n' * 20_000
UPLOAD = "/api/datasets/upload"


@pytest_asyncio.fixture
async def bucket(bus: str) -> AsyncIterator[object]:
    connection = await nats.connect(bus)
    yield await connection.jetstream().object_store(UPLOADS_BUCKET)
    await connection.close()


async def stored_messages(bucket) -> int:
    return (await bucket.status()).stream_info.state.messages


async def test_a_file_arrives_byte_for_byte(http, catalog, bucket):
    answer = await http.post(
        UPLOAD,
        data={"name": "Prose", "format": "jsonl", "text_column": "text"},
        files={"file": ("prose.jsonl", CONTENT)},
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/api/datasets/ds_1"
    asked = catalog.last(RPC_DATASET_REGISTER)
    assert (asked.name, asked.source.value, asked.format.value) == ("Prose", "upload", "jsonl")
    stored = await bucket.get(asked.identifier)
    assert hashlib.sha256(stored.data).digest() == hashlib.sha256(CONTENT).digest()
    assert stored.info.size == len(CONTENT)


async def test_fields_may_follow_the_file_and_the_name_may_be_left_out(http, catalog):
    form = [("file", ("été.txt", b"one line")), ("format", (None, "text"))]
    answer = await http.post(UPLOAD, files=form, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.text
    asked = catalog.last(RPC_DATASET_REGISTER)
    assert (asked.name, asked.format.value, asked.idempotency_key) == ("été.txt", "text", "k")


@pytest.mark.parametrize(
    ("filename", "ending"),
    [
        ("a table.TSV", ".tsv"),
        ("x.csv", ".csv"),
        ("none", ""),
        ("dots..", ""),
        ("x.c/../v", ""),
        ("x.ünï", ""),
        ("x." + "a" * 13, ""),
    ],
)
async def test_the_loader_sees_the_ending_of_the_file_and_no_more(
    http, catalog, bucket, filename, ending
):
    answer = await http.post(UPLOAD, files={"file": (filename, b"a\tb\n")})
    assert answer.status_code == 201, answer.text
    identifier = catalog.last(RPC_DATASET_REGISTER).identifier
    assert re.fullmatch(r"upload-[0-9a-f]{32}" + re.escape(ending), identifier)
    assert (await bucket.get(identifier)).data == b"a\tb\n"


async def test_a_file_beyond_the_limit_leaves_nothing(http, catalog, bucket):
    before = await stored_messages(bucket)
    body = httpx.Request("POST", "http://x", files={"file": ("f", b"x" * 400_001)})
    content = body.read()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]

    for sent in (content, pieces()):
        answer = await http.post(
            UPLOAD, content=sent, headers={"Content-Type": body.headers["content-type"]}
        )
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == ErrorCode.PAYLOAD_TOO_LARGE
    assert await stored_messages(bucket) == before
    assert catalog.asked == []


async def test_what_says_to_be_far_too_large_is_not_read(gateway, kit, catalog):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST /api/datasets/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n"
        b"Authorization: Bearer " + kit.token().encode() + b"\r\n\r\n"
    )
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()


async def test_an_upload_that_is_not_registered_is_deleted(http, catalog, bucket):
    catalog.refuse(RPC_DATASET_REGISTER, InvalidInput("no", field="name", reason="taken"))
    answer = await http.post(UPLOAD, files={"file": ("f", b"x")})
    assert answer.status_code == 400
    with pytest.raises(nats.js.errors.ObjectNotFoundError):
        await bucket.get_info(catalog.last(RPC_DATASET_REGISTER).identifier)


async def test_the_second_object_of_an_idempotent_repeat_is_deleted(http, catalog, bucket, kit):
    catalog.answer(RPC_DATASET_REGISTER, lambda r: kit.dataset(identifier="the-first"))
    answer = await http.post(UPLOAD, files={"file": ("f", b"x")}, headers={"Idempotency-Key": "k"})
    assert answer.json()["identifier"] == "the-first"
    with pytest.raises(nats.js.errors.ObjectNotFoundError):
        await bucket.get_info(catalog.last(RPC_DATASET_REGISTER).identifier)


@pytest.mark.parametrize(
    ("files", "field", "reason"),
    [
        ([("name", (None, "x"))], "file", "missing"),
        ([("file", ("f", b""))], "file", "empty"),
        ([("file", ("f", b"x")), ("file", ("g", b"y"))], "file", "repeated"),
        ([("other", ("f", b"x"))], "other", "extra_forbidden"),
        ([("nmae", (None, "x")), ("file", ("f", b"x"))], "nmae", "extra_forbidden"),
        ([("format", (None, "")), ("file", ("f", b"x"))], "format", "invalid"),
        ([("text_column", (None, "")), ("file", ("f", b"x"))], "text_column", "invalid"),
        ([("format", (None, "xml")), ("file", ("f", b"x"))], "format", "invalid"),
        ([("name", (None, "a\0b")), ("file", ("f", b"x"))], "name", "nul_character"),
        ([("name", (None, "x" * 501)), ("file", ("f", b"x"))], "name", "invalid"),
        ([("name", (None, "x" * 10_000)), ("file", ("f", b"x"))], "name", "too_long"),
        ([(f"f{i}", (None, "x")) for i in range(17)], "f0", "extra_forbidden"),
    ],
)
async def test_a_form_that_is_not_right_leaves_nothing(http, catalog, bucket, files, field, reason):
    before = await stored_messages(bucket)
    answer = await http.post(UPLOAD, files=files)
    assert answer.status_code == 400, answer.text
    details = answer.json()["error"]["details"]
    assert (details["field"], details["reason"]) == (field, reason)
    assert await stored_messages(bucket) == before
    assert catalog.asked == []


@pytest.mark.parametrize(
    ("content_type", "content", "reason"),
    [
        ("application/json", b"{}", "unsupported_media_type"),
        ("multipart/form-data", b"", "unsupported_media_type"),
        ("multipart/form-data; boundary=b", b"nonsense", "malformed_form"),
        ("multipart/form-data; boundary=b", b"", "incomplete_form"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nabc',
            "incomplete_form",
        ),
    ],
)
async def test_a_body_that_is_no_form_is_refused(http, catalog, content_type, content, reason):
    answer = await http.post(UPLOAD, content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["details"]["reason"] == reason
    assert catalog.asked == []


async def test_an_uploader_who_hangs_up_leaves_nothing(gateway, kit, catalog, bucket):
    before = await stored_messages(bucket)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST /api/datasets/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 390000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n"
        b"Authorization: Bearer " + kit.token().encode() + b"\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"x" * 300_000
    )
    await writer.drain()

    async def wait_for(condition) -> None:
        while not condition(await stored_messages(bucket)):  # noqa: ASYNC110 - the bus tells nobody
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait_for(lambda stored: stored > before), 20)
    writer.close()
    await asyncio.wait_for(wait_for(lambda stored: stored == before), 20)
    assert catalog.asked == []
