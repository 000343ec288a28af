"""Every error answer is the contract's, and nothing malformed comes through."""

import gzip

import httpx
import pytest

from mistudio_contracts.errors import ErrorCode, ErrorResponse
from mistudio_contracts.subjects import (
    RPC_EXTRACTION_ESTIMATE,
    RPC_EXTRACTION_REQUEST,
    RPC_MODEL_REGISTER,
)

MODEL = {"name": "GPT-2", "source": "huggingface", "model_identifier": "gpt2"}
EXTRACT = {"dataset_id": "ds_1", "layer_indices": [0, -1]}


def refused(answer: httpx.Response, status: int, code: ErrorCode) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = ErrorResponse.model_validate(answer.json()).error
    assert error.code is code
    return error.details


async def test_an_unknown_route_is_an_error_of_the_contract(http):
    refused(await http.get("/api/nothing"), 404, ErrorCode.NOT_FOUND)
    refused(await http.get("/api/models/"), 404, ErrorCode.NOT_FOUND)


async def test_a_wrong_method_is_told_all_the_right_ones(http):
    answer = await http.put("/api/models/m_1")
    refused(answer, 405, ErrorCode.METHOD_NOT_ALLOWED)
    assert answer.headers["allow"] == "DELETE, GET, PATCH"
    # A path with a name of its own is no dataset's.
    answer = await http.get("/api/datasets/upload")
    refused(answer, 405, ErrorCode.METHOD_NOT_ALLOWED)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({}, "name", "missing"),
        ({**MODEL, "nmae": "x"}, "nmae", "extra_forbidden"),
        ({**MODEL, "name": "  "}, "name", "string_too_short"),
        ({**MODEL, "name": "a\0b"}, "name", "nul_character"),
        ({**MODEL, "source": "ftp"}, "source", "enum"),
        ({**MODEL, "auto_load": "yes"}, "auto_load", "value_error"),
        ([], "body", "model_attributes_type"),
    ],
)
async def test_a_refused_model_names_its_field(http, catalog, body, field, reason):
    details = refused(await http.post("/api/models", json=body), 400, ErrorCode.VALIDATION_ERROR)
    assert (details["field"], details["reason"]) == (field, reason)
    assert details["remedy"]
    assert catalog.asked == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"layer_indices": []}, "body"),
        ({"layer_indices": ["0"]}, "layer_indices.0"),
        ({"layer_indices": [True]}, "layer_indices.0"),
        ({"layer_indices": "0-5,x"}, "layer_indices"),
        ({"hook_kinds": ["resid_post", "resid"]}, "hook_kinds.1"),
        ({"hook_points": ["layers.1.mlp"]}, "hook_points.0"),
        ({"sample_count": 0}, "sample_count"),
        ({"sample_count": 10**30}, "sample_count"),
        ({"batch_size": 5000}, "batch_size"),
        ({"tokenization": {"max_length": 0}}, "tokenization.max_length"),
        ({"tokenization": {"max_length": 8, "stride": 9}}, "tokenization.stride"),
        ({"tokenization": {"truncate": True, "stride": 4}}, "tokenization.stride"),
        ({"tokenization": {"stride": "4"}}, "tokenization.stride"),
        ({"tokenization": {"padding": True}}, "tokenization.padding"),
        ({"tokenization": {"column": "a\0"}}, "tokenization.column"),
        ({"dataset_id": "ds 1"}, "dataset_id"),
        ({"extraction_id": "m_1"}, "extraction_id"),
    ],
)
async def test_a_refused_extraction_names_its_field(http, catalog, change, field):
    answer = await http.post("/api/models/m_1/extract-activations", json={**EXTRACT, **change})
    assert refused(answer, 400, ErrorCode.VALIDATION_ERROR)["field"] == field
    assert catalog.asked == []


async def test_an_extraction_travels_as_the_contracts_command(http, catalog):
    answer = await http.post(
        "/api/models/m_1/extract-activations",
        json={**EXTRACT, "sample_count": 10, "tokenization": {"max_length": 128}},
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == "/api/extractions/ext_1"
    command = catalog.last(RPC_EXTRACTION_REQUEST).command
    assert command["model_id"] == "m_1"
    assert command["requested_by"] == "ann"
    assert command["layer_indices"] == [0, -1]
    assert command["tokenization"]["max_length"] == 128


async def test_an_estimate_asks_what_the_extraction_would(http, catalog):
    path = "/api/models/m_1/extract-activations"
    await http.post(path, json=EXTRACT)
    would = catalog.last(RPC_EXTRACTION_REQUEST).command
    answer = await http.post(f"{path}/estimate", json=EXTRACT)
    assert (answer.status_code, answer.json()["estimated_bytes"]) == (200, 100)
    assert catalog.last(RPC_EXTRACTION_ESTIMATE).command == would
    wrong = await http.post(f"{path}/estimate", json={**EXTRACT, "batch_size": 0})
    assert refused(wrong, 400, ErrorCode.VALIDATION_ERROR)["field"] == "batch_size"


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (b"{", "application/json", "malformed_json"),
        (b"\xff\xfe", "application/json", "malformed_json"),
        (b"[" * 50_000, "application/json", "malformed_json"),
        (b'{"name": NaN}', "application/json", "malformed_json"),
        (b'{"name": ' + b"1" * 5000 + b"}", "application/json", "malformed_json"),
        (b'{"name": "\\ud800"}', "application/json", "lone_surrogate"),
        (b'{"\\ud800": 1}', "application/json", "lone_surrogate"),
        (b"name=x", "application/x-www-form-urlencoded", "unsupported_media_type"),
        (b"{}", "text/plain", "unsupported_media_type"),
        (b"{}", "", "unsupported_media_type"),
    ],
)
async def test_a_body_that_is_not_json_is_refused(http, catalog, content, content_type, reason):
    answer = await http.post("/api/models", content=content, headers={"Content-Type": content_type})
    assert refused(answer, 400, ErrorCode.VALIDATION_ERROR)["reason"] == reason
    assert catalog.asked == []


async def test_a_body_is_never_unpacked(http, catalog):
    """A kilobyte of gzip would be a megabyte of JSON."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    packed = gzip.compress(b'{"name": "' + b"x" * 1_000_000 + b'"}')
    answer = await http.post("/api/models", content=packed, headers=headers)
    assert refused(answer, 400, ErrorCode.VALIDATION_ERROR)["reason"] == "malformed_json"
    assert catalog.asked == []


async def test_a_body_beyond_the_limit_is_refused_while_it_is_read(http, catalog):
    async def pieces():
        for _ in range(100):
            yield b" " * 1024

    answer = await http.post("/api/models", content=b" " * 65_537)
    refused(answer, 413, ErrorCode.PAYLOAD_TOO_LARGE)
    answer = await http.post("/api/models", content=pieces())
    refused(answer, 413, ErrorCode.PAYLOAD_TOO_LARGE)
    assert catalog.asked == []


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/models/Gpt-2", "model_id"),
        ("/api/models/m_1%00", "model_id"),
        ("/api/models/m_" + "x" * 121, "model_id"),
        ("/api/models/m_1/activations/ext", "extraction_id"),
        ("/api/models?limit=0", "limit"),
        ("/api/models?limit=501", "limit"),
        ("/api/models?limit=1.0", "limit"),
        ("/api/models?limit=", "limit"),
        ("/api/models?offset=-1", "offset"),
        ("/api/models?status=asleep", "status"),
        ("/api/models?search=%00", "search"),
        ("/api/models?limit=1&limit=2", "limit"),
        ("/api/extractions?model_id=x", "model_id"),
        ("/api/activations/act_1/files/..%2F..%2Fetc", "path"),
        ("/api/activations/act_1/files/", "path"),
    ],
)
async def test_a_malformed_parameter_is_refused(http, catalog, path, field):
    details = refused(await http.get(path), 400, ErrorCode.VALIDATION_ERROR)
    assert details["field"] == field
    assert catalog.asked == []


async def test_a_malformed_idempotency_key_is_refused(http, catalog):
    for key in ("", "two words", "x" * 201):
        answer = await http.post("/api/models", json=MODEL, headers={"Idempotency-Key": key})
        details = refused(answer, 400, ErrorCode.VALIDATION_ERROR)
        assert details["field"] == "Idempotency-Key"


async def test_an_unforeseen_error_shows_a_trace_id_and_nothing_else(http, gateway, monkeypatch):
    async def broken(*args, **kwargs):
        raise RuntimeError("/internal/path")

    monkeypatch.setattr(type(gateway.app.state.gateway.catalog), "ask", broken)
    answer = await http.get("/api/models")
    details = refused(answer, 500, ErrorCode.INTERNAL_ERROR)
    assert details["trace_id"] == answer.headers["x-trace-id"]
    assert "/internal" not in answer.text


async def test_the_trace_of_the_caller_is_kept(http):
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = await http.get(
        "/api/models", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    )
    assert answer.headers["x-trace-id"] == trace


async def test_other_pages_may_ask_when_they_are_named(gateway, catalog):
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        ask = {
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        good = await client.options("/api/models", headers={"Origin": "https://ui.example", **ask})
        assert good.headers["access-control-allow-origin"] == "https://ui.example"
        bad = await client.options("/api/models", headers={"Origin": "https://evil.example", **ask})
        refused(bad, 403, ErrorCode.FORBIDDEN)
        # An error answer can be read by the page too.
        denied = await client.get("/api/models", headers={"Origin": "https://ui.example"})
        assert denied.headers["access-control-allow-origin"] == "https://ui.example"


async def test_registering_takes_every_field_of_the_contract_but_the_callers(http, catalog):
    from mistudio_contracts import looking, rpc
    from mistudio_contracts.commands import RequestExtraction
    from mistudio_gateway.rest import bodies

    pairs = [
        (bodies.RegisterModel, rpc.RegisterModelRequest, set()),
        (bodies.UpdateModel, rpc.UpdateModelRequest, {"model_id", "if_match"}),
        (bodies.LoadModel, rpc.LoadModelRequest, {"model_id"}),
        (bodies.RegisterDataset, rpc.RegisterDatasetRequest, set()),
        (bodies.ExtractActivations, RequestExtraction, {"model_id", "requested_by"}),
        (bodies.ShowHeatMap, looking.HeatMapRequest, {"store_key", "sample_count"}),
        (bodies.FindTopTokens, looking.TopTokensRequest, {"store_key", "sample_count"}),
    ]
    for body, request, ours in pairs:
        filled_in = {"actor", "idempotency_key", *ours}
        assert set(body.model_fields) == set(request.model_fields) - filled_in
    assert catalog.asked == []
    await http.post("/api/models", json=MODEL)
    assert catalog.last(RPC_MODEL_REGISTER).source.value == "huggingface"
