"""Access tokens for the local stack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import Scope

from .errors import NotRunning
from .layout import Layout

ISSUER = AUDIENCE = "mistudio"
ALL_SCOPES: tuple[str, ...] = tuple(scope.value for scope in Scope)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """Return the duration written as a number and one of s, m, h, d, w, such as ``30d``."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if match is None or int(match[1]) == 0:
        raise InvalidInput(
            f"{text!r} is not a duration.",
            field="expires",
            remedy="Write a number and a unit, such as 12h or 30d.",
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def signing_secret(layout: Layout, environ: Mapping[str, str], *, create: bool = False) -> str:
    """Return the key that signs tokens: ``JWT_SECRET_KEY``, else the data directory's.

    Parameters
    ----------
    layout
        Where the stack lives.
    environ
        Environment to look in.
    create
        Generate the key when there is none, instead of raising :class:`NotRunning`.
    """
    given = environ.get("JWT_SECRET_KEY")
    if given:
        return given
    if not create and not (layout.secrets / "jwt-secret").exists():
        raise NotRunning(
            f"No stack has been started in {layout.root}.", remedy="Start one with: mistudio up"
        )
    return layout.secret("jwt-secret")


def require_scopes(scopes: Sequence[str]) -> None:
    """Raise :class:`InvalidInput` unless ``scopes`` names scopes, and at least one."""
    unknown = [scope for scope in scopes if scope not in ALL_SCOPES]
    if unknown or not scopes:
        raise InvalidInput(
            f"Unknown scope: {', '.join(unknown)}." if unknown else "A token needs a scope.",
            field="scope",
            remedy=f"Use one or more of {', '.join(ALL_SCOPES)}.",
        )


def mint(
    secret: str,
    *,
    subject: str = "local",
    scopes: Sequence[str] = ALL_SCOPES,
    expires: timedelta = timedelta(days=30),
) -> str:
    """Return a signed token.

    Parameters
    ----------
    secret
        HS256 key.
    subject
        Whom the token stands for; rate limits are counted by it.
    scopes
        What it allows, of ``model:read``, ``model:write``, ``model:admin``.
    expires
        How long it is good for.
    """
    require_scopes(scopes)
    # Signing pulls in a large cryptography library, which other commands need not wait for.
    import jwt

    now = datetime.now(timezone.utc)
    claims = {
        "sub": subject,
        "scopes": list(scopes),
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "nbf": now,
        "exp": now + expires,
    }
    return jwt.encode(claims, secret, algorithm="HS256")
