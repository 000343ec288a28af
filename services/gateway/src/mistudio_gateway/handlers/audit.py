"""/api/audit: who did what, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from mistudio_contracts.base import UtcDatetime
from mistudio_contracts.rpc import ListAuditRequest
from mistudio_contracts.states import Scope
from mistudio_contracts.subjects import RPC_AUDIT_LIST
from mistudio_contracts.views import AuditPage
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import Caller, Here, Limit, Offset

operations = Operations("audit")


@operations.add("GET", "/api/audit", scope=Scope.ADMIN)
async def list_audit(
    here: Here,
    caller: Caller,
    actor: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    action: Annotated[str | None, Query(max_length=100, examples=["model.delete"])] = None,
    object_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    since: Annotated[UtcDatetime | None, Query(description="From this moment on.")] = None,
    before: Annotated[UtcDatetime | None, Query(description="Before this moment.")] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> AuditPage:
    """List who changed what, when, and what became of it, the newest first; kept for 90 days."""
    request = ListAuditRequest(
        actor=caller.subject,
        by=actor,
        action=action,
        object_id=object_id,
        since=since,
        before=before,
        limit=limit,
        offset=offset,
    )
    return await here.catalog.ask(RPC_AUDIT_LIST, request, AuditPage)
