"""Access tokens: HS256 JSON Web Tokens with scopes."""

from collections.abc import Iterable
from datetime import timedelta

import jwt
from pydantic import BaseModel, ConfigDict, Field

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import Unauthorized
from mistudio_contracts.states import Scope

ISSUER = AUDIENCE = "mistudio"
ALGORITHM = "HS256"
CLOCK_SKEW = timedelta(seconds=30)
_REMEDY = "Ask for a new access token and send it as: Authorization: Bearer <token>."
_KNOWN = {scope.value for scope in Scope}


class Principal(BaseModel):
    """Who asks, and what they may do."""

    model_config = ConfigDict(frozen=True)

    subject: str = Field(min_length=1, max_length=200)
    scopes: frozenset[Scope] = frozenset()


def issue_token(secret: str, subject: str, scopes: Iterable[Scope], lifetime: timedelta) -> str:
    """Return a signed token.

    Parameters
    ----------
    secret
        HS256 key; use 32 bytes or more.
    subject
        Whom the token stands for; limits are counted by it.
    scopes
        What it allows.
    lifetime
        How long it is good for.

    Raises
    ------
    ValueError
        When the secret is empty.
    """
    if not secret:
        raise ValueError("the signing secret is empty")
    now = utcnow()
    # Clocks of two machines differ: a token is good at once on the one that is behind.
    claims = {
        "sub": subject,
        "scopes": sorted(scope.value for scope in scopes),
        "iat": now,
        "nbf": now - CLOCK_SKEW,
        "exp": now + lifetime,
        "iss": ISSUER,
        "aud": AUDIENCE,
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify_token(token: str, secret: str) -> Principal:
    """Return whom a token stands for. Scopes of a later version are ignored.

    Raises
    ------
    Unauthorized
        ``reason`` is ``expired`` or ``invalid``.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={
                "require": ["sub", "iat", "nbf", "exp", "iss", "aud"],
                "verify_iat": False,
            },
        )
        scopes = claims.get("scopes", [])
        if not isinstance(scopes, list):
            raise jwt.InvalidTokenError("scopes is not a list")
        known = frozenset(Scope(scope) for scope in scopes if scope in _KNOWN)
        return Principal(subject=claims["sub"], scopes=known)
    except jwt.ExpiredSignatureError as error:
        raise Unauthorized(
            "The access token has expired.", reason="expired", remedy=_REMEDY
        ) from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise Unauthorized(
            "The access token is not valid.", reason="invalid", remedy=_REMEDY
        ) from error
