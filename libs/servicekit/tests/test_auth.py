"""Tokens: who, what they may do, for how long."""

from datetime import timedelta
from typing import Any

import jwt
import pytest

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import Unauthorized
from mistudio_contracts.states import Scope
from mistudio_servicekit.auth import issue_token, verify_token

SECRET = "a-secret-that-is-long-enough-for-every-algorithm-tried-here-and-more"
HOUR = timedelta(hours=1)


def test_a_token_says_who_and_what() -> None:
    token = issue_token(SECRET, "ada", [Scope.READ, Scope.WRITE], HOUR)
    principal = verify_token(token, SECRET)
    assert principal.subject == "ada"
    assert principal.scopes == {Scope.READ, Scope.WRITE}


def test_a_token_ends() -> None:
    token = issue_token(SECRET, "ada", [], timedelta(seconds=-1))
    with pytest.raises(Unauthorized) as caught:
        verify_token(token, SECRET)
    assert caught.value.details["reason"] == "expired"
    assert caught.value.details["remedy"]


def claims(**changes: Any) -> dict[str, Any]:
    now = utcnow()
    return {
        "sub": "ada",
        "scopes": ["model:read"],
        "iat": now,
        "nbf": now,
        "exp": now + HOUR,
        "iss": "mistudio",
        "aud": "mistudio",
    } | changes


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        issue_token("another-secret-of-thirty-two-bytes", "ada", [], HOUR),
        jwt.encode(claims(), "", algorithm="none"),
        jwt.encode(claims(), SECRET, algorithm="HS512"),
        jwt.encode(claims(aud="elsewhere"), SECRET),
        jwt.encode(claims(iss="elsewhere"), SECRET),
        jwt.encode(claims(nbf=utcnow() + HOUR), SECRET),
        jwt.encode(claims(scopes="model:admin"), SECRET),
        jwt.encode(claims(sub=""), SECRET),
        jwt.encode({k: v for k, v in claims().items() if k != "exp"}, SECRET),
    ],
    # Tokens hold the time, and tests must be named alike by every worker that collects them.
    ids=[
        "empty",
        "no JSON",
        "another secret",
        "unsigned",
        "another algorithm",
        "for others",
        "by others",
        "not yet",
        "scopes as a string",
        "nobody",
        "endless",
    ],
)
def test_what_is_not_a_token_of_ours_is_invalid(token: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        verify_token(token, SECRET)
    assert caught.value.details["reason"] == "invalid"


def test_scopes_of_a_later_version_are_ignored() -> None:
    token = jwt.encode(claims(scopes=["model:read", "model:teleport"]), SECRET)
    assert verify_token(token, SECRET).scopes == {Scope.READ}


def test_a_clock_that_is_a_little_behind_accepts_a_fresh_token() -> None:
    token = jwt.encode(claims(iat=utcnow() + timedelta(seconds=20)), SECRET)
    assert verify_token(token, SECRET).subject == "ada"
    issued = jwt.decode(
        issue_token(SECRET, "ada", [], HOUR), SECRET, algorithms=["HS256"], audience="mistudio"
    )
    assert issued["nbf"] < issued["iat"]


def test_an_empty_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        issue_token("", "ada", [], HOUR)
