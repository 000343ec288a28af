"""Who asks, and whether they may."""

from __future__ import annotations

from mistudio_contracts.errors import Forbidden, Unauthorized
from mistudio_contracts.states import Scope
from mistudio_gateway.services.tokens import Verify
from mistudio_servicekit.auth import Principal

MOST_TOKEN_BYTES = 8192
MOST_SUBJECT_CHARACTERS = 200
"""As the contract's ``actor`` allows."""

OURSELVES = "system"
"""Whom the catalog calls itself: nobody else's requests go uncounted."""

IMPLIED: dict[Scope, frozenset[Scope]] = {
    Scope.READ: frozenset({Scope.READ, Scope.WRITE, Scope.ADMIN}),
    Scope.WRITE: frozenset({Scope.WRITE, Scope.ADMIN}),
    Scope.ADMIN: frozenset({Scope.ADMIN}),
}
"""For each scope, the scopes that grant it: admin implies write, write implies read."""


async def authenticate(header: str | None, verify: Verify) -> Principal:
    """Return whose token an Authorization header holds.

    Raises
    ------
    Unauthorized
        When there is none, or it is not a valid bearer token.
    ServiceUnavailable
        When whoever issues the tokens cannot be asked for the keys.
    """
    return await identify(token_of(header), verify)


def token_of(header: str | None) -> str:
    """Return the token that an Authorization header holds, not yet verified.

    Raises
    ------
    Unauthorized
        When there is none, or no bearer token.
    """
    if header is None:
        raise Unauthorized(
            "An access token is needed.",
            reason="missing",
            remedy="Send the header Authorization: Bearer <token>.",
        )
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthorized(
            "The Authorization header holds no bearer token.",
            reason="invalid",
            remedy="Send the header Authorization: Bearer <token>.",
        )
    return token.strip()


async def identify(token: str, verify: Verify) -> Principal:
    """Return whose token this is.

    Raises
    ------
    Unauthorized
        When it is wrong, expired or of no use as a name.
    ServiceUnavailable
        As :func:`authenticate`.
    """
    if len(token) > MOST_TOKEN_BYTES:
        raise Unauthorized("The access token is too long.", reason="invalid")
    principal = await verify(token)
    if not 0 < len(principal.subject) <= MOST_SUBJECT_CHARACTERS or principal.subject == OURSELVES:
        raise Unauthorized("The access token names nobody.", reason="invalid")
    return principal


def authorize(principal: Principal, needed: Scope) -> None:
    """Check that a caller has a scope or one that implies it.

    Raises
    ------
    Forbidden
        Naming the scope.
    """
    if not principal.scopes & IMPLIED[needed]:
        raise Forbidden(
            f"The access token lacks the scope {needed}.",
            reason="missing_scope",
            required_scope=str(needed),
            remedy=f"Ask for a token with {needed}.",
        )
