"""Messages that could not be handled, for administrators who have no password of the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import nats.errors
from faststream.nats import NatsBroker
from pydantic import ValidationError

from mistudio_contracts import rpc, views
from mistudio_contracts.errors import ErrorBody, ServiceUnavailable
from mistudio_servicekit.letters import (
    Letter,
    count_dead,
    dead_letter_at,
    dead_letters,
    discard,
    replay,
)

SHOWN = 64 * 1024
"""Characters of a payload that are shown."""


class DeadLetters:
    """Lists, shows, puts back and discards what lies in the DEAD stream.

    Each method raises ServiceUnavailable where the bus does not answer, and NotFound where there
    is no such letter.

    Parameters
    ----------
    broker
        The catalog's, connected by the time anything is asked.
    """

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker

    async def page(self, request: rpc.ListDeadLettersRequest) -> views.DeadLetterPage:
        with _translated():
            # One more than is shown tells whether there are more.
            found = await dead_letters(self._broker.connection, request.limit + 1, request.after)
            total = await count_dead(self._broker.connection)
        shown = found[: request.limit]
        return views.DeadLetterPage(
            dead_letters=[views.DeadLetter(**_facts(letter)) for letter in shown],
            total=total,
            next=shown[-1].sequence if len(found) > len(shown) else None,
        )

    async def get(self, request: rpc.DeadLetterRequest) -> views.DeadLetterDetail:
        with _translated():
            letter = await dead_letter_at(self._broker.connection, request.sequence)
        return views.DeadLetterDetail(
            **_facts(letter), error=_error(letter), payload=letter.body[:SHOWN]
        )

    async def replay(self, request: rpc.DeadLetterRequest) -> views.Replayed:
        """Put a letter back where it came from."""
        with _translated():
            sequence = await replay(self._broker.connection, request.sequence)
        return views.Replayed(sequence=sequence)

    async def discard(self, request: rpc.DeadLetterRequest) -> rpc.Done:
        """Take a letter away for good."""
        with _translated():
            await discard(self._broker.connection, request.sequence)
        return rpc.Done()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (nats.errors.Error, asyncio.TimeoutError) as error:
        raise ServiceUnavailable(
            "The bus does not take or give messages.",
            reason="bus_unavailable",
            remedy="Try again; if it stays so, look whether the queue is full.",
        ) from error


def _facts(letter: Letter) -> dict[str, Any]:
    return {
        "sequence": letter.sequence,
        "subject": letter.subject,
        "message_id": letter.message_id,
        "code": letter.code,
        "reason": letter.reason,
        "attempts": int(letter.attempts) if letter.attempts.isdecimal() else None,
        "died_at": _moment(letter.died_at),
        "bytes": len(letter.body.encode()),
    }


def _moment(told: str) -> datetime | None:
    try:
        return datetime.fromisoformat(told)
    except ValueError:
        return None


def _error(letter: Letter) -> ErrorBody | None:
    try:
        return ErrorBody.model_validate_json(letter.error)
    except ValidationError:
        return None
