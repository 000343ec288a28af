"""A repeated request with the same key answers the same, and happens once."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from mistudio_catalog.domain.deeds import present
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.rpc import Request

R = TypeVar("R", bound=BaseModel)


def digest(request: Request) -> str:
    """Return what tells two requests of one key apart."""
    content = request.model_dump_json(exclude={"actor", "idempotency_key"})
    return hashlib.sha256(f"{type(request).__name__} {content}".encode()).hexdigest()


async def answered(tx: Transaction, request: Request, kind: type[R]) -> R | None:
    """Return the answer that this request was given before, if it was.

    Raises
    ------
    InvalidInput
        The key belongs to another request of this actor.
    """
    if request.idempotency_key is None:
        return None
    kept = await tx.ledger.get_answer(request.actor, request.idempotency_key)
    if kept is None:
        return None
    if kept.request != digest(request):
        raise InvalidInput(
            "This Idempotency-Key was used for another request.",
            field="Idempotency-Key",
            reason="key_reused",
            remedy="Use a fresh key for each new request.",
        )
    deed = present()
    if deed is not None:
        deed.written = True
    return kind.model_validate(kept.answer)


async def once(
    tx: Transaction,
    request: Request,
    kind: type[R],
    now: datetime,
    act: Callable[[], Awaitable[R]],
) -> R:
    """Run ``act``, unless this request was answered before; keep the answer by its key.

    Call it before the transaction locks anything else. Errors are not kept: what was refused may
    be allowed later.
    """
    if request.idempotency_key is None:
        return await _done(act)
    await tx.ledger.exclusively(f"key:{request.actor}:{request.idempotency_key}")
    kept = await answered(tx, request, kind)
    if kept is not None:
        return kept
    answer = await _done(act)
    await tx.ledger.keep_answer(
        request.actor, request.idempotency_key, digest(request), answer, now
    )
    return answer


async def _done(act: Callable[[], Awaitable[R]]) -> R:
    answer = await act()
    deed = present()
    if deed is not None:
        deed.makes(answer)
    return answer
