"""Comparing a cache's files with what was written."""

import pytest

from mistudio_contracts.errors import ErrorCode, NotFound, ServiceUnavailable
from mistudio_contracts.states import Damage
from mistudio_contracts.subjects import RPC_CACHE_GET, RPC_STORE_VERIFY
from mistudio_contracts.views import DamagedFile, StoreVerification

PATH = "/api/activations/act_1/verify"


async def test_some_files_are_compared_and_the_answer_says_where_to_go_on(http, catalog):
    first = await http.post(PATH)
    assert first.status_code == 200
    assert first.json() == {
        "verified_files": 1,
        "verified_bytes": 2,
        "total_files": 3,
        "total_bytes": 6,
        "next": "a/1",
        "damaged": [],
        "remedy": None,
    }
    asked = catalog.last(RPC_STORE_VERIFY)
    assert (asked.store_key, asked.after) == ("ab" * 16, None)
    assert asked.hook_points == ["layers.0.resid_post"]

    await http.post(PATH, params={"after": first.json()["next"]})
    assert catalog.last(RPC_STORE_VERIFY).after == "a/1"


async def test_a_damaged_file_is_an_answer(http, catalog):
    found = StoreVerification(
        verified_files=1,
        verified_bytes=2,
        total_files=1,
        total_bytes=2,
        damaged=[DamagedFile(path="a/1", reason=Damage.CONTENT)],
        remedy="Delete it.",
    )
    catalog.answer(RPC_STORE_VERIFY, lambda r: found)
    answer = await http.post(PATH)
    assert answer.status_code == 200
    assert answer.json()["damaged"] == [{"path": "a/1", "reason": "content"}]
    assert answer.json()["remedy"] == "Delete it."


async def test_a_path_out_of_the_store_is_refused(http, catalog):
    answer = await http.post(PATH, params={"after": "../secret"})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "after"


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        (RPC_CACHE_GET, NotFound("no cache", code=ErrorCode.CACHE_NOT_FOUND)),
        (RPC_STORE_VERIFY, ServiceUnavailable("no extractor")),
    ],
)
async def test_what_cannot_be_compared_is_an_error(http, catalog, subject, error):
    catalog.refuse(subject, error)
    answer = await http.post(PATH)
    assert answer.status_code == error.code.http_status
    assert answer.json()["error"]["code"] == error.code
