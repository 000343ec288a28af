"""Tickets: what lets a browser download one thing without a header, for a short time.

A link that a browser follows carries no Authorization header, and an access token in a URL would
be kept by logs. A ticket names the one thing that it opens, and is of no use anywhere else.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import jwt

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import Unauthorized

ALGORITHM = "HS256"
AUDIENCE = "mistudio-download"
LIFETIME = timedelta(minutes=5)
"""To begin a download; one that has begun may take as long as it takes."""

MOST_CHARACTERS = 2048


def issue(secret: str, subject: str, cache_id: str) -> tuple[str, datetime]:
    """Return a ticket for downloading a cache, and when it ends.

    Parameters
    ----------
    secret
        HS256 key, that of access tokens.
    subject
        Who asked for it.
    cache_id
        What it opens.
    """
    ends = utcnow().replace(microsecond=0) + LIFETIME
    claims = {"sub": subject, "aud": AUDIENCE, "cache_id": cache_id, "exp": ends}
    return jwt.encode(claims, secret, algorithm=ALGORITHM), ends


def redeem(ticket: str, secret: str, cache_id: str) -> tuple[str, datetime]:
    """Return who asked for a ticket, and when it ends.

    Raises
    ------
    Unauthorized
        When it is wrong, late, or opens something else.
    """
    try:
        claims = jwt.decode(
            ticket,
            secret,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["sub", "aud", "exp"]},
        )
    except jwt.PyJWTError as error:
        raise _no_good() from error
    if claims.get("cache_id") != cache_id:
        raise _no_good()
    return str(claims["sub"]), datetime.fromtimestamp(claims["exp"], timezone.utc)


def _no_good() -> Unauthorized:
    return Unauthorized(
        "The download link is not valid, or no longer.",
        reason="expired_link",
        remedy="Ask for a new one.",
    )
