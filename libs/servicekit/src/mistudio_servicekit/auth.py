"""Access tokens: JSON Web Tokens with scopes, our own by HS256 or somebody else's by his rules."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import jwt
from pydantic import BaseModel, ConfigDict, Field

from mistudio_contracts.base import UtcDatetime, utcnow
from mistudio_contracts.errors import Unauthorized
from mistudio_contracts.states import Scope

ISSUER = AUDIENCE = "mistudio"
ALGORITHM = "HS256"
CLOCK_SKEW = timedelta(seconds=30)
_REMEDY = "Ask for a new access token and send it as: Authorization: Bearer <token>."
_KNOWN = {scope.value for scope in Scope}


class Principal(BaseModel):
    """Who asks, what they may do, and until when."""

    model_config = ConfigDict(frozen=True)

    subject: str = Field(min_length=1, max_length=200)
    scopes: frozenset[Scope] = frozenset()
    expires_at: UtcDatetime


@dataclass(frozen=True)
class Rules:
    """What a token must be and say.

    Parameters
    ----------
    algorithms
        Those of its signature; what its own header says chooses among them and no further.
    issuer, audience
        Who made it, and for whom.
    required
        Claims without which it is none.
    scopes_claim
        The claim that holds its scopes.
    spaced
        Whether the scopes may also be one text with spaces, as OAuth has them.
    leeway
        What two clocks may differ by.
    """

    algorithms: tuple[str, ...]
    issuer: str
    audience: str
    required: tuple[str, ...]
    scopes_claim: str
    spaced: bool = False
    leeway: timedelta = timedelta(0)


OURS = Rules(
    algorithms=(ALGORITHM,),
    issuer=ISSUER,
    audience=AUDIENCE,
    required=("sub", "iat", "nbf", "exp", "iss", "aud"),
    scopes_claim="scopes",
)


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
    """Return whom a token of ours stands for. Scopes of a later version are ignored.

    Raises
    ------
    Unauthorized
        ``reason`` is ``expired`` or ``invalid``.
    """
    return verify(token, secret, OURS)


def verify(token: str, key: Any, rules: Rules) -> Principal:
    """Return whom a token stands for. Scopes that are none of ours are ignored.

    Parameters
    ----------
    token
        As it was sent.
    key
        What checks its signature: the secret of HS256, or a public key as PyJWT takes it.
    rules
        What it must be and say.

    Raises
    ------
    Unauthorized
        ``reason`` is ``expired`` or ``invalid``.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=list(rules.algorithms),
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway,
            options={"require": list(rules.required), "verify_iat": False},
        )
        return Principal(
            subject=claims["sub"],
            scopes=_scopes(claims.get(rules.scopes_claim, []), rules.spaced),
            expires_at=datetime.fromtimestamp(float(claims["exp"]), timezone.utc),
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthorized(
            "The access token has expired.", reason="expired", remedy=_REMEDY
        ) from error
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise invalid() from error


def invalid() -> Unauthorized:
    """Return the error for a token that is none, which says no more than that."""
    return Unauthorized("The access token is not valid.", reason="invalid", remedy=_REMEDY)


def _scopes(told: Any, spaced: bool) -> frozenset[Scope]:
    if spaced and isinstance(told, str):
        told = told.split()
    if not isinstance(told, list):
        raise jwt.InvalidTokenError("the scopes are not a list")
    return frozenset(Scope(scope) for scope in told if isinstance(scope, str) and scope in _KNOWN)
