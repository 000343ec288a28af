"""Who did what: one entry for each request that changes something, committed with the change."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel

from mistudio_catalog.domain.deeds import DONE, Deed, doing
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts.commands import Command
from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.states import Door
from mistudio_contracts.subjects import Subject
from mistudio_servicekit.failures import as_contract_error
from mistudio_servicekit.tracing import traceparent

from .context import Context

log = logging.getLogger(__name__)
T = TypeVar("T")

ACTIONS: dict[str, str] = {
    subjects.RPC_MODEL_REGISTER.pattern: "model.register",
    subjects.RPC_MODEL_UPDATE.pattern: "model.update",
    subjects.RPC_MODEL_DELETE.pattern: "model.delete",
    subjects.RPC_MODEL_LOAD.pattern: "model.load",
    subjects.RPC_MODEL_UNLOAD.pattern: "model.unload",
    subjects.RPC_MODEL_LOAD_CANCEL.pattern: "model.load.cancel",
    subjects.RPC_DATASET_REGISTER.pattern: "dataset.register",
    subjects.RPC_DATASET_DELETE.pattern: "dataset.delete",
    subjects.RPC_EXTRACTION_REQUEST.pattern: "extraction.request",
    subjects.RPC_EXTRACTION_CANCEL.pattern: "extraction.cancel",
    subjects.RPC_CACHE_EVICT.pattern: "cache.evict",
    subjects.RPC_DEAD_REPLAY.pattern: "deadletter.replay",
    subjects.RPC_DEAD_DISCARD.pattern: "deadletter.discard",
    subjects.MODEL_LOAD.pattern: "model.load",
    subjects.MODEL_UNLOAD.pattern: "model.unload",
    subjects.MODEL_LOAD_CANCEL.pattern: "model.load.cancel",
    subjects.MODEL_DELETE.pattern: "model.delete",
    subjects.EXTRACTION.pattern: "extraction.request",
    subjects.EXTRACTION_CANCEL.pattern: "extraction.cancel",
    subjects.CACHE_EVICT.pattern: "cache.evict",
}
"""What is written down, by the subject that asks for it; reading is not."""

MOST_CHARACTERS = 200
"""Of an object's id: what was refused may name anything."""

_OBJECTS = ("extraction_id", "model_id", "dataset_id", "cache_id", "sequence")


class Audit:
    """Writes down what is done, and shows it.

    What changes rows is written by the transaction that changes them, so neither is there without
    the other; what was refused, and what changes no row, by a transaction of its own.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def of(
        self,
        subject: Subject,
        door: Door,
        asked: rpc.Request | Command,
        act: Callable[[], Awaitable[T]],
    ) -> T:
        """Do what was asked for, and write it down.

        Parameters
        ----------
        subject
            What asks for it, one of :data:`ACTIONS`.
        door
            Where it came in.
        asked
            The request or command, which says who asks and for what.
        act
            Does it. What it raises is raised again.
        """
        action = ACTIONS[subject.pattern]
        deed = Deed(
            actor=asked.actor if isinstance(asked, rpc.Request) else asked.requested_by,
            action=action,
            door=door,
            object_id=_object_of(action, asked),
            trace_id=_trace_id(),
        )
        try:
            with doing(deed):
                answer = await act()
        except Exception as error:
            await self._refused(deed, as_contract_error(error))
            raise
        if not deed.written:
            await self._write(deed, DONE)
        return answer

    async def page(self, request: rpc.ListAuditRequest) -> views.AuditPage:
        async with self._context.database.reading() as tx:
            entries, total = await tx.audit.page(request)
        return views.AuditPage(
            entries=entries, total=total, limit=request.limit, offset=request.offset
        )

    async def _refused(self, deed: Deed, error: MiStudioError) -> None:
        if error.transient:
            # It is asked for again, or its asker knows that nothing was decided.
            return
        try:
            await self._write(deed, str(error.code))
        except MiStudioError as failure:
            log.warning("A refusal is not written down.", extra={"error": failure.message})

    async def _write(self, deed: Deed, outcome: str) -> None:
        async with self._context.database.transaction() as tx:
            await tx.audit.add(deed, outcome, self._context.now())


def _object_of(action: str, asked: BaseModel) -> str | None:
    told = asked.command if isinstance(asked, rpc.ExtractionRequest) else asked.__dict__
    names = ("extraction_id",) if action == "extraction.request" else _OBJECTS
    found = next((told[name] for name in names if told.get(name) is not None), None)
    return None if found is None else str(found)[:MOST_CHARACTERS]


def _trace_id() -> str | None:
    span = traceparent()
    return None if span is None else span.split("-")[1]
