"""Whose tokens open the doors: those that this installation signs, or an issuer's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache

from mistudio_contracts.base import utcnow
from mistudio_gateway.config import GatewaySettings
from mistudio_servicekit.auth import Principal, verify_token

REMEMBERED = 1000
"""Tokens whose signature is not checked again with every request."""

Verify = Callable[[str], Awaitable[Principal]]
"""Tells whom a token stands for; raises Unauthorized, or ServiceUnavailable where it cannot."""


async def _nothing() -> None:
    """Has nothing to end."""


@dataclass(frozen=True)
class Tokens:
    """What verifies tokens, and how it is ended."""

    verify: Verify
    close: Callable[[], Awaitable[None]] = _nothing


def tokens_of(settings: GatewaySettings) -> Tokens:
    """Return what tells whose token it is: one kind opens the doors, never both."""
    if settings.oidc_issuer is not None:
        from .issuer import Issuer

        issuer = Issuer(settings)
        return Tokens(issuer.verify, issuer.close)
    secret = settings.jwt_secret_key.get_secret_value()

    @lru_cache(REMEMBERED)
    def known(token: str) -> Principal:
        return verify_token(token, secret)

    async def verify(token: str) -> Principal:
        principal = known(token)
        # A token of ours is good until it expires: only that has to be asked again.
        return principal if utcnow() < principal.expires_at else verify_token(token, secret)

    return Tokens(verify)
