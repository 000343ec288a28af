"""The REST API of estimates."""

from typing import Any

import pytest

from mistudio_contracts.errors import ErrorCode, ErrorResponse, NotFound, ServiceUnavailable
from mistudio_contracts.subjects import RPC_CHECKPOINT_ESTIMATE, RPC_MODEL_ESTIMATE

CHECKPOINT = {"source": "huggingface", "model_identifier": "openai-community/gpt2"}


def details_of(answer: Any) -> dict[str, Any]:
    return ErrorResponse.model_validate(answer.json()).error.details


async def test_a_model_is_estimated_in_every_format_unless_one_is_named(http, catalog):
    answer = await http.get("/api/models/m_1/estimate")
    assert (answer.status_code, answer.json()["model_id"]) == (200, "m_1")
    asked = catalog.last(RPC_MODEL_ESTIMATE)
    assert (asked.actor, asked.quantization) == ("ann", None)
    assert asked.quantization_options.model_dump(mode="json") == {
        "int4_type": "nf4",
        "double_quant": True,
    }

    query = {"quantization": "int4", "int4_type": "fp4", "double_quant": "false"}
    await http.get("/api/models/m_1/estimate", params=query)

    asked = catalog.last(RPC_MODEL_ESTIMATE)
    assert asked.quantization.value == "int4"
    assert asked.quantization_options.model_dump(mode="json") == {
        "int4_type": "fp4",
        "double_quant": False,
    }


async def test_a_checkpoint_is_estimated_without_being_registered(http, catalog):
    options = {"int4_type": "fp4", "double_quant": False}
    body = {**CHECKPOINT, "revision": "main", "quantization_options": options}

    answer = await http.post("/api/estimates", json=body)

    assert answer.status_code == 200
    assert answer.json()["model_identifier"] == "openai-community/gpt2"
    asked = catalog.last(RPC_CHECKPOINT_ESTIMATE).model_dump(mode="json")
    assert {name: asked[name] for name in body} == body


@pytest.mark.parametrize(
    ("name", "value"),
    [("quantization", "int2"), ("int4_type", "nf5"), ("double_quant", "perhaps")],
)
async def test_a_format_that_does_not_exist_is_refused_by_name(http, name, value):
    answer = await http.get("/api/models/m_1/estimate", params={name: value})
    assert answer.status_code == 400
    assert details_of(answer)["field"] == name


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "ftp"}, "source"),
        ({"model_identifier": "  "}, "model_identifier"),
        ({"quantization": "int2"}, "quantization"),
        ({"name": "x"}, "name"),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_by_field(http, change, field):
    answer = await http.post("/api/estimates", json={**CHECKPOINT, **change})
    assert answer.status_code == 400
    assert details_of(answer)["field"] == field


async def test_what_the_catalog_refuses_is_answered_as_such(http, catalog):
    unknown = NotFound("There is no model m_9.", code=ErrorCode.MODEL_NOT_FOUND)
    catalog.refuse(RPC_MODEL_ESTIMATE, unknown)
    catalog.refuse(RPC_CHECKPOINT_ESTIMATE, ServiceUnavailable("No loader answers."))

    assert (await http.get("/api/models/m_9/estimate")).status_code == 404
    answer = await http.post("/api/estimates", json=CHECKPOINT)
    assert answer.status_code == 503
    assert answer.headers["retry-after"].isdigit()
