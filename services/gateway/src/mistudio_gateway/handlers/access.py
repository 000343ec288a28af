"""/api/session: whose token this is, for a page that shows only what its reader may do."""

from __future__ import annotations

from mistudio_contracts import CONTRACT_VERSION
from mistudio_contracts.states import Scope
from mistudio_contracts.views import WhoAmI
from mistudio_gateway.rest.auth import IMPLIED
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import Caller

operations = Operations("session")


@operations.add("GET", "/api/session", scope=Scope.READ)
async def get_session(caller: Caller) -> WhoAmI:
    """Tell whose token this is, what it allows and until when."""
    return WhoAmI(
        subject=caller.subject,
        scopes=[scope for scope in Scope if caller.scopes & IMPLIED[scope]],
        expires_at=caller.expires_at,
        version=CONTRACT_VERSION,
    )
