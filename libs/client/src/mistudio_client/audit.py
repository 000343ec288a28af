"""``client.audit``: who did what, for administrators."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from mistudio_contracts.views import AuditEntry, AuditPage

from .paging import every
from .transport import Transport


class Audit:
    """What was changed, by whom, and what became of it; kept for 90 days."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        object_id: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> AuditPage:
        """Return a page of entries, the newest first.

        Parameters
        ----------
        actor
            Only what this one did.
        action
            Only this, such as ``model.delete``.
        object_id
            Only what was done to this model, dataset, extraction or cache.
        since, before
            Only from the one moment on, and before the other.
        limit, offset
            Entries at most, and entries to skip.
        """
        return self._transport.get(
            AuditPage,
            "/audit",
            actor=actor,
            action=action,
            object_id=object_id,
            since=None if since is None else since.isoformat(),
            before=None if before is None else before.isoformat(),
            limit=limit,
            offset=offset,
        )

    def iterate(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        object_id: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """Yield every entry; the filters are those of :meth:`list`."""
        yield from every(
            self.list,
            lambda page: page.entries,
            actor=actor,
            action=action,
            object_id=object_id,
            since=since,
            before=before,
        )
