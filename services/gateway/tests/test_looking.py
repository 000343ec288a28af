"""Looking into what is stored: what travels, and what is refused before anybody is asked."""

import pytest

from mistudio_contracts.errors import ErrorCode, InvalidInput, NotFound, ServiceUnavailable
from mistudio_contracts.subjects import (
    RPC_CACHE_GET,
    RPC_STORE_HEAT_MAP,
    RPC_STORE_NORMS,
    RPC_STORE_TOP_TOKENS,
    RPC_TOKEN_LENGTHS,
)

CACHE = "/api/activations/act_1"
POINT = "layers.0.resid_post"
LENGTHS = "/api/models/m_1/token-lengths"


def of_the_cache(asked):
    """Return what is asked of the store, once it is of the cache's store and samples."""
    assert (asked.store_key, asked.sample_count) == ("ab" * 16, 1)
    return asked.model_dump(exclude={"actor", "idempotency_key", "store_key", "sample_count"})


async def test_norms_are_asked_of_every_hook_point_of_the_cache(http, catalog):
    answer = await http.get(f"{CACHE}/norms")
    assert answer.status_code == 200
    assert answer.json()["mean_norms"] == [[None]]
    assert of_the_cache(catalog.last(RPC_STORE_NORMS)) == {"hook_points": [POINT]}


async def test_a_heat_map_travels_as_it_is_asked_for(http, catalog):
    body = {"hook_point": POINT, "along": {"direction": [0, -1.5]}, "first_sample": 3, "samples": 2}
    answer = await http.post(f"{CACHE}/heat-map", json=body)
    assert (answer.status_code, answer.json()["measure"]) == (200, "direction")
    asked = of_the_cache(catalog.last(RPC_STORE_HEAT_MAP))
    assert asked == {**body, "along": {"neuron": None, "direction": [0.0, -1.5]}}
    assert (await http.post(f"{CACHE}/heat-map", json={"hook_point": POINT})).status_code == 200
    assert catalog.last(RPC_STORE_HEAT_MAP).along.measure == "norm"


async def test_top_tokens_travel_as_they_are_asked_for(http, catalog):
    body = {"hook_point": POINT, "along": {"neuron": 5}, "count": 7, "least": True}
    answer = await http.post(f"{CACHE}/top-tokens", json=body)
    assert (answer.status_code, answer.json()["measure"]) == (200, "neuron")
    asked = of_the_cache(catalog.last(RPC_STORE_TOP_TOKENS))
    assert asked == {**body, "along": {"neuron": 5, "direction": None}}


async def test_lengths_are_asked_of_the_catalog(http, catalog):
    answer = await http.get(LENGTHS, params={"dataset_id": "ds_1"})
    assert (answer.status_code, answer.json()["column"]) == (200, "text")
    asked = catalog.last(RPC_TOKEN_LENGTHS)
    assert (asked.model_id, asked.dataset_id, asked.column) == ("m_1", "ds_1", None)
    assert (asked.actor, asked.add_special_tokens) == ("ann", True)
    more = {"dataset_id": "ds_1", "column": "body", "add_special_tokens": "false"}
    await http.get(LENGTHS, params=more)
    asked = catalog.last(RPC_TOKEN_LENGTHS)
    assert (asked.column, asked.add_special_tokens) == ("body", False)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "hook_point"),
        ({"hook_point": "layers.0.mlp"}, "hook_point"),
        ({"hook_point": POINT, "along": {"neuron": -1}}, "along.neuron"),
        ({"hook_point": POINT, "along": {"neuron": "5"}}, "along.neuron"),
        ({"hook_point": POINT, "along": {"direction": []}}, "along.direction"),
        ({"hook_point": POINT, "along": {"direction": ["1"]}}, "along.direction.0"),
        ({"hook_point": POINT, "along": {"direction": [10**400]}}, "along.direction.0"),
        ({"hook_point": POINT, "along": {"direction": [0, 0.0]}}, "along"),
        ({"hook_point": POINT, "along": {"neuron": 1, "direction": [1]}}, "along"),
        ({"hook_point": POINT, "along": {"norm": True}}, "along.norm"),
        ({"hook_point": POINT, "nr": 1}, "nr"),
    ],
)
async def test_what_means_nothing_is_refused_by_field(http, catalog, body, field):
    for path in ("heat-map", "top-tokens"):
        answer = await http.post(f"{CACHE}/{path}", json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["details"]["field"] == field
    assert catalog.asked == []


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("heat-map", "samples", 17),
        ("heat-map", "first_sample", -1),
        ("top-tokens", "count", 0),
        ("top-tokens", "count", 201),
        ("top-tokens", "least", "yes"),
    ],
)
async def test_no_more_is_asked_for_than_a_picture_shows(http, catalog, path, field, value):
    answer = await http.post(f"{CACHE}/{path}", json={"hook_point": POINT, field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field
    assert catalog.asked == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "dataset_id"),
        ({"dataset_id": "x"}, "dataset_id"),
        ({"dataset_id": "ds_1", "column": ""}, "column"),
        ({"dataset_id": "ds_1", "add_special_tokens": "perhaps"}, "add_special_tokens"),
    ],
)
async def test_lengths_of_no_dataset_are_refused(http, catalog, params, field):
    answer = await http.get(LENGTHS, params=params)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field
    assert catalog.asked == []


async def test_a_hook_point_that_the_cache_does_not_show_is_refused(http, catalog):
    for path in ("heat-map", "top-tokens"):
        answer = await http.post(f"{CACHE}/{path}", json={"hook_point": "layers.1.resid_post"})
        assert answer.status_code == 400
        details = answer.json()["error"]["details"]
        assert (details["field"], details["available"]) == ("hook_point", [POINT])
    assert {name for name, _ in catalog.asked} == {RPC_CACHE_GET.pattern}


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no cache", code=ErrorCode.CACHE_NOT_FOUND),
        InvalidInput("no component", field="along.neuron", remedy="Name another."),
        ServiceUnavailable("no extractor"),
    ],
)
async def test_what_the_other_side_refuses_is_told(http, catalog, error):
    asks = [
        (RPC_STORE_NORMS, "GET", f"{CACHE}/norms"),
        (RPC_STORE_HEAT_MAP, "POST", f"{CACHE}/heat-map"),
        (RPC_STORE_TOP_TOKENS, "POST", f"{CACHE}/top-tokens"),
        (RPC_TOKEN_LENGTHS, "GET", f"{LENGTHS}?dataset_id=ds_1"),
    ]
    for subject, method, path in asks:
        catalog.refuse(subject, error)
        json = {"hook_point": POINT} if method == "POST" else None
        answer = await http.request(method, path, json=json)
        assert answer.status_code == error.code.http_status
        assert answer.json()["error"]["code"] == error.code


async def test_a_direction_larger_than_a_body_may_be_is_refused(http, catalog):
    body = {"hook_point": POINT, "along": {"direction": [0.123456789] * 8000}}
    answer = await http.post(f"{CACHE}/heat-map", json=body)
    assert answer.status_code == 413
    assert catalog.asked == []
