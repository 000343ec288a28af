"""What every route asks for, written by hand, and whose token it is; test_matrix.py tries it."""

from datetime import timedelta

import httpx
from fastapi.routing import APIRoute

from mistudio_contracts.base import utcnow
from mistudio_contracts.states import Scope
from mistudio_contracts.views import WhoAmI
from mistudio_gateway.config import GatewaySettings
from mistudio_gateway.factory import create_app
from mistudio_gateway.rest.operations import SCOPE, GuardedRoute

READ, WRITE, ADMIN = Scope.READ, Scope.WRITE, Scope.ADMIN

RULES: dict[tuple[str, str], Scope] = {
    ("POST", "/api/models"): WRITE,
    ("GET", "/api/models"): READ,
    ("GET", "/api/models/{model_id}"): READ,
    ("PATCH", "/api/models/{model_id}"): WRITE,
    ("DELETE", "/api/models/{model_id}"): WRITE,
    ("POST", "/api/models/{model_id}/load"): WRITE,
    ("POST", "/api/models/{model_id}/load/cancel"): WRITE,
    ("POST", "/api/models/{model_id}/unload"): WRITE,
    ("GET", "/api/models/{model_id}/estimate"): READ,
    ("GET", "/api/models/{model_id}/hook-points"): READ,
    ("POST", "/api/estimates"): READ,
    ("POST", "/api/models/{model_id}/extract-activations"): WRITE,
    ("POST", "/api/models/{model_id}/extract-activations/estimate"): READ,
    ("GET", "/api/models/{model_id}/activations/{extraction_id}"): READ,
    ("GET", "/api/extractions"): READ,
    ("GET", "/api/extractions/{extraction_id}"): READ,
    ("POST", "/api/extractions/{extraction_id}/cancel"): WRITE,
    ("POST", "/api/datasets"): WRITE,
    ("POST", "/api/datasets/upload"): WRITE,
    ("GET", "/api/datasets"): READ,
    ("GET", "/api/datasets/{dataset_id}"): READ,
    ("DELETE", "/api/datasets/{dataset_id}"): WRITE,
    ("GET", "/api/activations"): READ,
    ("GET", "/api/activations/{cache_id}"): READ,
    ("DELETE", "/api/activations/{cache_id}"): WRITE,
    ("POST", "/api/activations/{cache_id}/verify"): READ,
    ("GET", "/api/activations/{cache_id}/files"): READ,
    ("GET", "/api/activations/{cache_id}/files/{path:path}"): READ,
    ("GET", "/api/activations/{cache_id}/norms"): READ,
    ("POST", "/api/activations/{cache_id}/heat-map"): READ,
    ("POST", "/api/activations/{cache_id}/top-tokens"): READ,
    ("POST", "/api/activations/{cache_id}/download-link"): READ,
    ("GET", "/api/models/{model_id}/token-lengths"): READ,
    ("GET", "/api/devices"): READ,
    ("GET", "/api/session"): READ,
    ("GET", "/api/audit"): ADMIN,
    ("GET", "/api/dead-letters"): ADMIN,
    ("GET", "/api/dead-letters/{sequence}"): ADMIN,
    ("POST", "/api/dead-letters/{sequence}/replay"): ADMIN,
    ("DELETE", "/api/dead-letters/{sequence}"): ADMIN,
}
BY_TICKET = {("GET", "/api/activations/{cache_id}/archive")}
OPEN = {
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
}
GRANTS = {READ: {READ}, WRITE: {READ, WRITE}, ADMIN: {READ, WRITE, ADMIN}}


def test_every_route_has_a_rule():
    app = create_app(GatewaySettings.ephemeral())
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    found = {(method, route.path) for route in routes for method in route.methods}
    assert found == set(RULES) | BY_TICKET | OPEN
    guarded = [route for route in routes if isinstance(route, GuardedRoute)]
    assert {(m, r.path): r.openapi_extra[SCOPE] for r in guarded for m in r.methods} == RULES


async def test_wrong_tokens_are_refused(gateway, catalog, kit):
    expired = kit.token(lifetime=timedelta(hours=-1))
    forged = kit.token()[:-4] + "AAAA"
    for header in (
        f"Bearer {expired}",
        f"Bearer {forged}",
        "Bearer",
        "Basic YTpi",
        f"Bearer {kit.token(subject='system')}",
        "Bearer x" * 900,
    ):
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            answer = await client.get("/api/models", headers={"Authorization": header})
        assert answer.status_code == 401, header[:40]
    assert catalog.asked == []


async def test_a_token_in_the_url_is_not_looked_at(gateway, catalog, kit):
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for name in ("token", "access_token"):
            answer = await client.get("/api/models", params={name: kit.token()})
            assert answer.status_code == 401


async def test_a_page_learns_whose_token_it_has_and_what_it_allows(gateway, catalog, kit):
    shown = {}
    for scope in Scope:
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            header = {"Authorization": f"Bearer {kit.token(scope, subject='eve')}"}
            answer = await client.get("/api/session", headers=header)
        shown[scope] = WhoAmI.model_validate_json(answer.text)
    assert {scope: set(each.scopes) for scope, each in shown.items()} == GRANTS
    for each in shown.values():
        assert each.subject == "eve"
        assert timedelta(minutes=59) < each.expires_at - utcnow() <= timedelta(hours=1)
    assert catalog.asked == []
