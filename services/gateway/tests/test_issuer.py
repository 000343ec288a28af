"""Tokens of an OpenID Connect issuer, over HTTP: whose are taken, and what becomes of its keys."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from pydantic import ValidationError
from websockets.asyncio.client import connect

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ServiceUnavailable, Unauthorized
from mistudio_contracts.states import Scope
from mistudio_gateway.config import GatewaySettings
from mistudio_gateway.services.issuer import FRESH, KEPT, PAUSE
from mistudio_gateway.services.issuer import Issuer as Verifier
from mistudio_testkit.issuer import Issuer

SECRET = "x" * 32
HOUR = timedelta(hours=1)


class Clock:
    """Moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def move(self, by):
        self.now += by.total_seconds()


@pytest.fixture
def issuer():
    with Issuer() as running:
        yield running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def verifier(issuer, clock):
    return verifier_of(issuer, clock)


def verifier_of(issuer, clock=None, **changes):
    settings = GatewaySettings(jwt_secret_key=SECRET, oidc_issuer=issuer.url, **changes)
    return Verifier(settings, clock or Clock())


async def refused(verifier, token):
    with pytest.raises(Unauthorized) as caught:
        await verifier.verify(token)
    return caught.value.details["reason"]


async def test_a_token_says_who_what_and_until_when(issuer, verifier):
    principal = await verifier.verify(issuer.token("openid model:read model:write"))
    assert principal.subject == "ada@example"
    assert principal.scopes == {Scope.READ, Scope.WRITE}
    assert timedelta(minutes=9) < principal.expires_at - utcnow() <= timedelta(minutes=10)


async def test_scopes_may_be_a_list_under_another_name(issuer):
    verifier = verifier_of(issuer, oidc_scopes_claim="permissions")
    token = issuer.token("model:admin", permissions=["model:read", "other:thing", 7])
    assert (await verifier.verify(token)).scopes == {Scope.READ}


async def test_a_token_without_scopes_may_nothing(issuer, verifier):
    for scope in ("", [], "openid profile", None):
        assert (await verifier.verify(issuer.token(scope))).scopes == frozenset()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": utcnow() - HOUR}, "expired"),
        ({"exp": None}, "invalid"),
        ({"exp": "soon"}, "invalid"),
        ({"exp": 10**20}, "invalid"),
        ({"nbf": utcnow() + HOUR}, "invalid"),
        ({"iat": None}, "invalid"),
        ({"aud": "somebody else"}, "invalid"),
        ({"aud": None}, "invalid"),
        ({"iss": "https://elsewhere.example"}, "invalid"),
        ({"iss": None}, "invalid"),
        ({"sub": None}, "invalid"),
        ({"sub": ""}, "invalid"),
        ({"sub": 7}, "invalid"),
        ({"scope": {"model:admin": True}}, "invalid"),
    ],
    # Tokens hold the time, and tests must be named alike by every worker that collects them.
    ids=[
        "expired", "endless", "end is no number", "end beyond the calendar", "not yet",
        "never made", "for others", "for nobody", "by others", "by nobody", "nobody's",
        "an empty name", "a number's", "scopes of another form",
    ],
)  # fmt: skip
async def test_a_claim_that_is_wrong_makes_it_none(issuer, verifier, changes, reason):
    assert await refused(verifier, issuer.token(**changes)) == reason


async def test_clocks_may_differ_by_a_little(issuer, verifier):
    token = issuer.token(nbf=utcnow() + timedelta(seconds=20))
    assert (await verifier.verify(token)).subject == "ada@example"


def signed_by_hand(head, claims, signature):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    body = part(json.dumps(head).encode()) + b"." + part(json.dumps(claims).encode())
    return (body + b"." + part(signature(body))).decode()


async def test_no_signature_is_none_however_it_is_written(issuer, verifier):
    claims = jwt.decode(issuer.token("model:admin"), options={"verify_signature": False})
    for algorithm in ("none", "None", "NONE", "nOnE", "", None):
        token = signed_by_hand({"alg": algorithm, "kid": "first"}, claims, lambda _: b"")
        assert await refused(verifier, token) == "invalid", algorithm


async def test_a_published_key_is_no_secret_to_sign_with(issuer, verifier):
    """RS256's public key as the secret of HS256: by hand, since no library would do it."""
    claims = jwt.decode(issuer.token("model:admin"), options={"verify_signature": False})
    pem = issuer.public_pem("first")
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
        token = signed_by_hand(
            {"alg": algorithm, "kid": "first"},
            claims,
            lambda body, digest=digest: hmac.new(pem, body, digest).digest(),
        )
        assert await refused(verifier, token) == "invalid"


async def test_a_symmetric_key_that_the_issuer_publishes_signs_nothing(issuer):
    secret = b"k" * 32
    shown = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    issuer.extra_keys.append({"kty": "oct", "kid": "shared", "k": shown, "alg": "HS256"})
    token = jwt.encode(issuer.claims(), secret, algorithm="HS256", headers={"kid": "shared"})
    assert await refused(verifier_of(issuer), token) == "invalid"


async def test_an_algorithm_that_was_not_named_is_refused(issuer, verifier, clock):
    issuer.add_key("curve", "ES256")
    token = issuer.token(kid="curve", algorithm="ES256")
    assert await refused(verifier, token) == "invalid"
    assert await refused(verifier, issuer.token(algorithm="PS256")) == "invalid"
    both = verifier_of(issuer, oidc_algorithms="RS256, ES256")
    assert (await both.verify(token)).subject == "ada@example"


async def test_a_key_that_the_token_brings_along_is_not_looked_at(issuer, verifier):
    own = generate_private_key(65_537, 2048)
    shown = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key()))
    for kid in ({}, {"kid": "first"}, {"kid": "mine"}):
        head = {**kid, "jwk": shown, "jku": "http://127.0.0.1:1/keys", "x5u": "file:///etc/passwd"}
        token = jwt.encode(issuer.claims("model:admin"), own, algorithm="RS256", headers=head)
        assert await refused(verifier, token) == "invalid"


async def test_our_own_secret_opens_nothing_where_an_issuer_is_named(issuer, verifier, kit):
    assert await refused(verifier, jwt.encode(issuer.claims(), SECRET)) == "invalid"
    assert await refused(verifier, kit.token()) == "invalid"


@pytest.mark.parametrize("token", ["", "a.b.c", "e30.e30.", "." * 5000, "\x00", "é.é.é"])
async def test_what_is_no_token_asks_nobody(issuer, verifier, token):
    assert await refused(verifier, token) == "invalid"
    assert issuer.asked == []


async def test_keys_are_asked_for_once_by_however_many(issuer, verifier):
    await asyncio.gather(*(verifier.verify(issuer.token()) for _ in range(20)))
    assert len(issuer.asked) == 2, "the document and the keys"


async def test_a_new_key_is_found_when_a_token_names_it(issuer, verifier, clock):
    await verifier.verify(issuer.token())
    issuer.add_key("second")
    token = issuer.token(kid="second")
    clock.move(PAUSE)
    assert (await verifier.verify(token)).subject == "ada@example"
    assert (await verifier.verify(issuer.token())).subject == "ada@example"


async def test_tokens_of_keys_that_nobody_has_do_not_make_us_ask(issuer, verifier, clock):
    await verifier.verify(issuer.token())
    asked = len(issuer.asked)
    issuer.add_key("hidden")
    tokens = [issuer.token(kid="hidden") for _ in range(3)]
    issuer.withdraw("hidden")
    for token in tokens:
        assert await refused(verifier, token) == "invalid"
    assert len(issuer.asked) == asked
    clock.move(PAUSE)
    await asyncio.gather(*(refused(verifier, token) for token in tokens))
    assert len(issuer.asked) == asked + 2, "once for all of them"


async def test_a_withdrawn_key_opens_nothing_when_keys_are_asked_for_anew(issuer, verifier, clock):
    old = issuer.token()
    await verifier.verify(old)
    issuer.add_key("second")
    issuer.withdraw("first")
    await verifier.verify(old)
    clock.move(FRESH)
    await verifier.verify(old)  # The last one: the keys are asked for beside it.
    await asyncio.wait([verifier._renewing])
    assert await refused(verifier, old) == "invalid"
    assert (await verifier.verify(issuer.token(kid="second"))).subject == "ada@example"


async def test_known_keys_go_on_while_the_issuer_is_away(issuer, verifier, clock):
    token = issuer.token()
    await verifier.verify(token)
    issuer.answers = False
    for _ in range(5):
        clock.move(FRESH)
        assert (await verifier.verify(token)).subject == "ada@example"
        await asyncio.wait([verifier._renewing])
    clock.move(KEPT)
    with pytest.raises(ServiceUnavailable) as caught:
        await verifier.verify(token)
    assert caught.value.details["reason"] == "issuer_unavailable"
    issuer.answers = True
    clock.move(PAUSE)
    assert (await verifier.verify(token)).subject == "ada@example"


@pytest.mark.parametrize("fault", ["away", "of another name", "no keys", "wrong keys"])
async def test_an_issuer_that_does_not_tell_its_keys_is_not_the_tokens_fault(issuer, fault):
    token = issuer.token()
    if fault == "away":
        issuer.answers = False
    elif fault == "of another name":
        issuer.calls_itself = "https://elsewhere.example"
    else:
        issuer.withdraw("first")
        issuer.extra_keys += [{"kty": "RSA", "kid": "first"}] if fault == "wrong keys" else []
    with pytest.raises(ServiceUnavailable) as caught:
        await verifier_of(issuer).verify(token)
    assert caught.value.details["reason"] == "issuer_unavailable"
    assert issuer.url not in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"oidc_issuer": "http://issuer.example"},
        {"oidc_issuer": "file:///etc/passwd"},
        {"oidc_issuer": "issuer.example"},
        {"oidc_issuer": "https://"},
        {"oidc_algorithms": "HS256"},
        {"oidc_algorithms": "RS256,none"},
        {"oidc_algorithms": ""},
        {"oidc_audience": ""},
    ],
)
def test_settings_that_would_open_the_doors_are_refused(change):
    with pytest.raises(ValidationError):
        GatewaySettings(jwt_secret_key=SECRET, **change)


def test_no_issuer_is_named_by_an_empty_variable(monkeypatch):
    monkeypatch.setenv("OIDC_ISSUER", "")
    assert GatewaySettings(jwt_secret_key=SECRET).oidc_issuer is None


async def test_both_doors_take_the_issuers_tokens_and_no_others(bus, catalog, kit, issuer):
    async with (
        kit.running_gateway(bus, oidc_issuer=issuer.url) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):

        async def status(method, path, token):
            header = {"Authorization": f"Bearer {token}"}
            return (await client.request(method, path, headers=header)).status_code

        async def closed(token):
            async with connect(
                gateway.ws, subprotocols=["mistudio.v1", f"bearer.{token}"]
            ) as socket:
                await asyncio.wait_for(socket.wait_closed(), 15)
                return socket.close_code

        issuer.answers = False
        assert await status("GET", "/api/models", issuer.token()) == 503
        assert await closed(issuer.token()) == 1013
        issuer.answers = True
        gateway.app.state.gateway.tokens.verify.__self__._asked_at = float("-inf")
        assert await status("GET", "/api/models", issuer.token()) == 200
        assert await status("DELETE", "/api/models/m_1", issuer.token()) == 403
        assert await status("DELETE", "/api/models/m_1", issuer.token("model:write")) == 204
        assert await status("GET", "/api/models", kit.token()) == 401
        assert await closed(kit.token()) == 4401
        assert await closed(issuer.token("")) == 4403
        soon = issuer.token(exp=utcnow() + timedelta(seconds=1))
        assert await closed(soon) == 4401
