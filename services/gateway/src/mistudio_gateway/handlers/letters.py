"""/api/dead-letters: messages of the bus that could not be handled, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BeforeValidator

from mistudio_contracts import rpc
from mistudio_contracts.errors import ErrorCode
from mistudio_contracts.states import Scope
from mistudio_contracts.subjects import (
    RPC_DEAD_DISCARD,
    RPC_DEAD_GET,
    RPC_DEAD_LIST,
    RPC_DEAD_REPLAY,
)
from mistudio_contracts.views import DeadLetterDetail, DeadLetterPage, Replayed
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import Caller, Here, plain_integer

operations = Operations("dead letters")
MOST = 2**63 - 1

Sequence = Annotated[int, BeforeValidator(plain_integer), Path(ge=1, le=MOST)]
After = Annotated[
    int,
    BeforeValidator(plain_integer),
    Query(ge=0, le=MOST, description="The answer before's `next`."),
]
Limit = Annotated[
    int,
    BeforeValidator(plain_integer),
    Query(ge=1, le=100, description="Most entries of the page."),
]


@operations.add("GET", "/api/dead-letters", scope=Scope.ADMIN)
async def list_dead_letters(
    here: Here, caller: Caller, after: After = 0, limit: Limit = 50
) -> DeadLetterPage:
    """List messages that could not be handled, the oldest first."""
    request = rpc.ListDeadLettersRequest(actor=caller.subject, after=after, limit=limit)
    return await here.catalog.ask(RPC_DEAD_LIST, request, DeadLetterPage)


@operations.add(
    "GET", "/api/dead-letters/{sequence}", scope=Scope.ADMIN, errors=(ErrorCode.NOT_FOUND,)
)
async def get_dead_letter(here: Here, caller: Caller, sequence: Sequence) -> DeadLetterDetail:
    """Show a message that could not be handled, with its error."""
    request = rpc.DeadLetterRequest(actor=caller.subject, sequence=sequence)
    return await here.catalog.ask(RPC_DEAD_GET, request, DeadLetterDetail)


@operations.add(
    "POST",
    "/api/dead-letters/{sequence}/replay",
    scope=Scope.ADMIN,
    errors=(ErrorCode.NOT_FOUND,),
)
async def replay_dead_letter(here: Here, caller: Caller, sequence: Sequence) -> Replayed:
    """Put a message that could not be handled back where it came from."""
    request = rpc.DeadLetterRequest(actor=caller.subject, sequence=sequence)
    return await here.catalog.ask(RPC_DEAD_REPLAY, request, Replayed)


@operations.add(
    "DELETE",
    "/api/dead-letters/{sequence}",
    scope=Scope.ADMIN,
    status=204,
    errors=(ErrorCode.NOT_FOUND,),
)
async def discard_dead_letter(here: Here, caller: Caller, sequence: Sequence) -> None:
    """Take a message that could not be handled away for good."""
    request = rpc.DeadLetterRequest(actor=caller.subject, sequence=sequence)
    await here.catalog.ask(RPC_DEAD_DISCARD, request, rpc.Done)
