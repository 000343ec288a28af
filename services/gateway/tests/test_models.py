"""The REST API of models."""

from typing import Any

import httpx
import pytest

from mistudio_contracts.errors import (
    ErrorCode,
    ErrorResponse,
    InsufficientMemory,
    MiStudioError,
    ModelTooLarge,
    NotFound,
    PreconditionFailed,
    RateLimited,
    StatusConflict,
)
from mistudio_contracts.subjects import (
    RPC_MODEL_GET,
    RPC_MODEL_LIST,
    RPC_MODEL_LOAD,
    RPC_MODEL_REGISTER,
    RPC_MODEL_UPDATE,
)

BODY = {"name": "GPT-2", "source": "huggingface", "model_identifier": "gpt2"}


def error_of(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == "application/json"
    return ErrorResponse.model_validate(answer.json()).error


async def test_a_registered_model_is_answered_with_its_place_and_version(http, catalog):
    answer = await http.post("/api/models", json={**BODY, "quantization": "int8"})
    assert answer.status_code == 201
    assert answer.json()["id"] == "m_gpt2_1"
    assert answer.headers["location"] == "/api/models/m_gpt2_1"
    assert answer.headers["etag"] == '"2026-11-20T10:00:00.123456Z"'
    asked = catalog.last(RPC_MODEL_REGISTER)
    assert (asked.actor, asked.quantization.value) == ("ann", "int8")


async def test_the_idempotency_key_reaches_the_catalog(http, catalog):
    await http.post("/api/models", json=BODY, headers={"Idempotency-Key": "once-1"})
    assert catalog.last(RPC_MODEL_REGISTER).idempotency_key == "once-1"
    await http.post("/api/models/m_1/load", headers={"Idempotency-Key": "once-2"})
    assert catalog.last(RPC_MODEL_LOAD).idempotency_key == "once-2"


async def test_a_load_needs_no_body(http, catalog):
    answer = await http.post("/api/models/m_1/load")
    assert (answer.status_code, answer.json()["task_id"]) == (200, "task_1")
    answer = await http.post("/api/models/m_1/load", json={"quantization": "int4"})
    assert answer.status_code == 200
    assert catalog.last(RPC_MODEL_LOAD).quantization.value == "int4"


async def test_how_a_model_is_made_and_kept_reaches_the_catalog(http, catalog):
    options = {"int4_type": "fp4", "double_quant": False}
    wish = {"pinned": True, "keep_alive_seconds": 1.5, "offload": True}
    body = {**BODY, "quantization": "int4", "quantization_options": options, **wish}
    assert (await http.post("/api/models", json=body)).status_code == 201
    asked = catalog.last(RPC_MODEL_REGISTER).model_dump(mode="json")
    assert asked["quantization_options"] == options
    assert {name: asked[name] for name in wish} == wish
    load = {"quantization": "int4", "quantization_options": options, "force": True}
    assert (await http.post("/api/models/m_1/load", json=load)).status_code == 200
    assert catalog.last(RPC_MODEL_LOAD).force
    assert catalog.last(RPC_MODEL_LOAD).quantization_options.double_quant is False


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ({"pinned": True}, {"pinned"}),
        ({"keep_alive_seconds": None}, {"keep_alive_seconds"}),
        ({"name": "n", "offload": False}, {"name", "offload"}),
    ],
)
async def test_a_change_names_to_the_catalog_only_what_its_body_names(http, catalog, body, changes):
    assert (await http.patch("/api/models/m_1", json=body)).status_code == 200
    asked = catalog.last(RPC_MODEL_UPDATE)
    assert asked.model_fields_set & {"name", "pinned", "keep_alive_seconds", "offload"} == changes


@pytest.mark.parametrize(
    "change",
    [
        {"keep_alive_seconds": -1},
        {"keep_alive_seconds": "5"},
        {"pinned": 1},
        {"quantization_options": {"double_quant": "no"}},
        {"quantization_options": {"int4_type": "nf5"}},
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused_by_field(http, change):
    answer = await http.post("/api/models", json={**BODY, **change})
    assert answer.status_code == 400
    assert error_of(answer).details["field"].startswith(next(iter(change)))


async def test_filters_and_pages_reach_the_catalog(http, catalog):
    answer = await http.get(
        "/api/models", params={"status": "ready", "search": "gpt", "limit": 500, "offset": 7}
    )
    assert answer.json() == {"models": [], "total": 0, "limit": 50, "offset": 0}
    asked = catalog.last(RPC_MODEL_LIST)
    assert (asked.status.value, asked.search, asked.limit, asked.offset) == ("ready", "gpt", 500, 7)


async def test_a_version_that_was_seen_is_not_sent_again(http):
    first = await http.get("/api/models/m_1")
    again = await http.get("/api/models/m_1", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    weak = f'"other", W/{first.headers["etag"]}'
    assert (await http.get("/api/models/m_1", headers={"If-None-Match": weak})).status_code == 304
    other = await http.get("/api/models/m_1", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


async def test_a_change_names_the_version_it_was_made_on(http, catalog, kit):
    etag = (await http.get("/api/models/m_1")).headers["etag"]
    answer = await http.patch("/api/models/m_1", json={"name": "n"}, headers={"If-Match": etag})
    assert answer.status_code == 200
    assert catalog.last(RPC_MODEL_UPDATE).if_match == kit.NOW
    both = f'"2020-01-01T00:00:00.000000Z", {etag}'
    await http.patch("/api/models/m_1", json={"name": "n"}, headers={"If-Match": both})
    assert catalog.last(RPC_MODEL_UPDATE).if_match == kit.NOW
    await http.patch("/api/models/m_1", json={"name": "n"}, headers={"If-Match": "*"})
    assert catalog.last(RPC_MODEL_UPDATE).if_match is None


async def test_a_change_of_an_older_version_is_refused(http, catalog):
    answer = await http.patch("/api/models/m_1", json={}, headers={"If-Match": '"what"'})
    assert (answer.status_code, error_of(answer).code) == (412, ErrorCode.PRECONDITION_FAILED)
    catalog.refuse(RPC_MODEL_UPDATE, PreconditionFailed("changed", field="If-Match"))
    etag = '"2020-01-01T00:00:00.000000Z"'
    answer = await http.patch("/api/models/m_1", json={}, headers={"If-Match": etag})
    assert (answer.status_code, error_of(answer).code) == (412, ErrorCode.PRECONDITION_FAILED)


async def test_a_deleted_model_is_answered_with_nothing(http):
    answer = await http.delete("/api/models/m_1")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (NotFound("no", code=ErrorCode.MODEL_NOT_FOUND), 404, None),
        (StatusConflict("busy", field="status"), 409, None),
        (ModelTooLarge("never", required_memory_gb=12.0, available_memory_gb=6.0), 422, None),
        (RateLimited("slow down", retry_after_seconds=12.2), 429, "13"),
        (RateLimited("slow down"), 429, "60"),
        (InsufficientMemory("not now", required_memory_gb=4.0), 503, "30"),
        (MiStudioError("broken"), 500, None),
    ],
)
async def test_what_the_catalog_refuses_is_answered_with_its_code(
    http, catalog, error, status, retry_after
):
    catalog.refuse(RPC_MODEL_LOAD, error)
    answer = await http.post("/api/models/m_1/load")
    found = error_of(answer)
    assert (answer.status_code, found.code) == (status, error.code)
    assert found.details == error.details
    assert answer.headers.get("retry-after") == retry_after


async def test_a_catalog_that_does_not_answer_is_said_to_be_away(http, catalog, bus, kit):
    def never(request: Any) -> Any:
        raise RuntimeError("a secret /internal/path")

    catalog.answer(RPC_MODEL_GET, never)
    answer = await http.get("/api/models/m_1")
    assert answer.status_code == 500
    assert "/internal/path" not in answer.text


async def test_large_answers_are_compressed(http, catalog, kit):
    catalog.answer(RPC_MODEL_GET, lambda r: kit.model(config={"filler": "x" * 5000}))
    answer = await http.get("/api/models/m_1", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["config"]["filler"]) == 5000
