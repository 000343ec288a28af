"""Whose tokens open the doors, and how often that is worked out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import Unauthorized
from mistudio_contracts.states import Scope
from mistudio_gateway.config import GatewaySettings
from mistudio_gateway.services import tokens
from mistudio_servicekit.auth import Principal, issue_token, verify_token


async def test_a_signature_is_checked_once_and_again_when_the_token_has_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = GatewaySettings.ephemeral()
    secret = settings.jwt_secret_key.get_secret_value()
    checked: list[str] = []

    def counted(token: str, key: str) -> Principal:
        checked.append(token)
        if utcnow() >= expires:
            raise Unauthorized("It has expired.", reason="expired")
        return verify_token(token, key)

    token = issue_token(secret, "ada", [Scope.READ], timedelta(hours=1))
    expires = verify_token(token, secret).expires_at
    monkeypatch.setattr(tokens, "verify_token", counted)
    verify = tokens.tokens_of(settings).verify

    assert await verify(token) == await verify(token)
    assert checked == [token]

    def later() -> object:
        return expires

    monkeypatch.setattr(tokens, "utcnow", later)
    monkeypatch.setattr(f"{__name__}.utcnow", later)
    with pytest.raises(Unauthorized):
        await verify(token)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await verify("no token")
    assert checked == [token, token, "no token", "no token"], "a refusal is not remembered"
