"""An OpenID Connect issuer: signs tokens, publishes its keys, changes them, and goes away."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as elliptic
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from typing_extensions import Self

from mistudio_contracts.base import utcnow

DOCUMENT = "/.well-known/openid-configuration"
KEYS = "/keys"


@cache
def _key(kid: str, algorithm: str) -> RSAPrivateKey | EllipticCurvePrivateKey:
    """Return the key of a name: made once a process, since that takes a while."""
    return elliptic(SECP256R1()) if algorithm.startswith("ES") else rsa(65_537, 2048)


class Issuer:
    """Listens on a port of its own while the block runs.

    Attributes
    ----------
    answers
        Whether it answers at all; with False every request is met with 503.
    asked
        The paths that were asked for, in order.
    calls_itself
        What its document says that its name is.
    extra_keys
        What it publishes beside its own keys.
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._keys: dict[str, RSAPrivateKey | EllipticCurvePrivateKey] = {}
        self.answers = True
        self.asked: list[str] = []
        self.calls_itself = self.url
        self.extra_keys: list[dict[str, Any]] = []
        self.add_key("first")

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add_key(self, kid: str, algorithm: str = "RS256") -> None:
        """Make a key and publish it."""
        self._keys[kid] = _key(kid, algorithm)

    def withdraw(self, kid: str) -> None:
        """Publish a key no longer."""
        del self._keys[kid]

    def public_pem(self, kid: str) -> bytes:
        """Return a published key as anybody may have it."""
        public = self._keys[kid].public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def claims(self, scope: Sequence[str] | str = "model:read", **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token; a change to None leaves the claim out."""
        now = utcnow()
        told = {
            "iss": self.url,
            "sub": "ada@example",
            "aud": "mistudio",
            "iat": now,
            "exp": now + timedelta(minutes=10),
            "scope": scope,
            **changes,
        }
        return {name: value for name, value in told.items() if value is not None}

    def token(
        self,
        scope: Sequence[str] | str = "model:read",
        *,
        kid: str = "first",
        algorithm: str = "RS256",
        headers: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """Return a token, signed by a key that is published now."""
        claims = self.claims(scope, **changes)
        head = {"kid": kid, **(headers or {})}
        return jwt.encode(claims, self._keys[kid], algorithm=algorithm, headers=head)

    def _answer(self, path: str) -> dict[str, Any] | None:
        if path == DOCUMENT:
            return {"issuer": self.calls_itself, "jwks_uri": self.url + KEYS}
        if path == KEYS:
            return {"keys": [*(self._jwk(kid) for kid in self._keys), *self.extra_keys]}
        return None

    def _jwk(self, kid: str) -> dict[str, Any]:
        key = self._keys[kid]
        told = (
            RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            if isinstance(key, RSAPrivateKey)
            else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        )
        return {**told, "kid": kid, "use": "sig"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                told = issuer._answer(self.path) if issuer.answers else None
                body = json.dumps(told or {}).encode()
                self.send_response(200 if told else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler
