"""Tokens of an OpenID Connect issuer, checked by its keys; imported only where there is one.

The keys are fetched when a token first needs them, asked for anew every few minutes beside the
requests that use them, and kept while the issuer does not answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import jwt

from mistudio_contracts.errors import ServiceUnavailable
from mistudio_gateway.config import GatewaySettings
from mistudio_gateway.domain.addresses import is_guarded
from mistudio_servicekit.auth import CLOCK_SKEW, Principal, Rules, invalid, verify
from mistudio_servicekit.tasks import cancel

logger = logging.getLogger(__name__)

FRESH = timedelta(minutes=5)
"""Age at which keys are asked for anew: one that the issuer withdraws opens nothing after it."""

KEPT = timedelta(hours=24)
"""Age up to which keys are used while the issuer does not answer."""

PAUSE = timedelta(seconds=10)
"""Between two questions, so that tokens of keys that nobody has cannot make us ask more often."""

TIMEOUT_SECONDS = 5.0
DISCOVERY = "/.well-known/openid-configuration"


class Issuer:
    """Verifies tokens of the issuer that the settings name.

    Parameters
    ----------
    settings
        With an ``oidc_issuer``.
    clock
        Seconds, from whatever moment.
    """

    def __init__(
        self, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        issuer = settings.oidc_issuer or ""
        self._rules = Rules(
            algorithms=settings.oidc_algorithms,
            issuer=issuer,
            audience=settings.oidc_audience,
            required=("sub", "iat", "exp", "iss", "aud"),
            scopes_claim=settings.oidc_scopes_claim,
            spaced=True,
            leeway=CLOCK_SKEW,
        )
        self._document = issuer.rstrip("/") + DISCOVERY
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def verify(self, token: str) -> Principal:
        """Return whom a token stands for.

        Raises
        ------
        Unauthorized
            It is not a token of this issuer for us, or no longer.
        ServiceUnavailable
            Its key is not known here, and the issuer does not tell its keys.
        """
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError as error:
            raise invalid() from error
        if not isinstance(kid, str):
            raise invalid()
        return verify(token, await self._key(kid), self._rules)

    async def _key(self, kid: str) -> jwt.PyJWK:
        age = self._clock() - self._fetched_at
        if age >= KEPT.total_seconds():
            self._keys = {}
        elif age >= FRESH.total_seconds() and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.create_task(self._renew())
        if kid not in self._keys:
            await self._renew()
        if kid in self._keys:
            return self._keys[kid]
        if self._fetched_at < self._asked_at:
            raise ServiceUnavailable(
                "Whoever issues the access tokens does not answer.",
                reason="issuer_unavailable",
                retry_after_seconds=int(PAUSE.total_seconds()),
                remedy="Try again in a moment.",
            )
        raise invalid()

    async def _renew(self) -> None:
        async with self._asking:
            # Of those that waited here together, the first has asked for all.
            if self._clock() - self._asked_at < PAUSE.total_seconds():
                return
            self._asked_at = self._clock()
            try:
                self._keys = await self._fetch()
            except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, ValueError) as error:
                logger.warning("The issuer's keys cannot be had.", extra={"error": repr(error)})
            else:
                self._fetched_at = self._asked_at

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
            document = await _json(http, self._document)
            if document.get("issuer") != self._rules.issuer:
                raise ValueError("the issuer's document is another issuer's")
            address = str(document.get("jwks_uri"))
            if not is_guarded(address):
                raise ValueError("the issuer's keys have no https address")
            keys = await _json(http, address)
        return {
            key.key_id: key
            for key in jwt.PyJWKSet.from_dict(keys).keys
            if key.key_id and key.public_key_use in ("sig", None) and key.key_type != "oct"
        }

    async def close(self) -> None:
        """End what is under way."""
        await cancel(self._renewing)


async def _json(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    answer = await http.get(url)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")
    return found
