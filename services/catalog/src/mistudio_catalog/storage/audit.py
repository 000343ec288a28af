"""The ``audit_log`` table: who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mistudio_catalog.domain.deeds import Deed
from mistudio_contracts.rpc import ListAuditRequest
from mistudio_contracts.views import MOST_COUNTED, AuditEntry

from .queries import queries

_SQL = queries("audit")


class AuditTable:
    """What was done, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def add(self, deed: Deed, outcome: str, at: datetime) -> None:
        await _SQL.add_audit(
            self._connection,
            at=at,
            actor=deed.actor,
            action=deed.action,
            object_id=deed.object_id,
            door=str(deed.door),
            outcome=outcome,
            trace_id=deed.trace_id,
        )

    async def page(self, request: ListAuditRequest) -> tuple[list[AuditEntry], int]:
        """Return one page, newest first, and the number of all, counted up to a limit."""
        wanted = {
            "actor": request.by,
            "action": request.action,
            "object_id": request.object_id,
            "since": request.since,
            "before": request.before,
        }
        total = await _SQL.count_audit(self._connection, **wanted, most=MOST_COUNTED)
        rows = _SQL.list_audit(
            self._connection, **wanted, limit=request.limit, offset=request.offset
        )
        return [AuditEntry.model_validate(dict(row)) async for row in rows], total

    async def forget(self, before: datetime) -> None:
        """Delete what is older."""
        await _SQL.forget_audit(self._connection, before=before)
