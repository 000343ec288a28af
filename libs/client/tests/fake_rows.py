"""What the parts of the fake catalog share: rows, events, and when to hold them back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from pydantic import BaseModel

from mistudio_contracts import events, views
from mistudio_contracts.errors import ErrorBody, ErrorCode, MiStudioError, NotFound
from mistudio_contracts.subjects import Subject
from mistudio_servicekit.bus import Publisher

Row = TypeVar("Row", bound=BaseModel)
Handlers = dict[Subject, Callable[[Any], Awaitable[BaseModel]]]
LAYERS, WIDTH, SAMPLES, TOKENS = 4, 8, 12, 40


class Rows:
    """Everything that the fake catalog knows."""

    def __init__(self) -> None:
        self.models: dict[str, views.Model] = {}
        self.datasets: dict[str, views.Dataset] = {}
        self.extractions: dict[str, views.Extraction] = {}
        self.caches: dict[str, views.Cache] = {}
        self.requests: list[BaseModel] = []
        self.refuse: MiStudioError | None = None
        """Answered to the next request that changes something."""
        self.fail: ErrorBody | None = None
        """How the next load, reading or extraction ends."""
        self.going = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.publisher: Publisher

    def clear(self) -> None:
        self.models.clear()
        self.datasets.clear()
        self.extractions.clear()
        self.caches.clear()
        self.requests.clear()
        self.refuse = self.fail = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def note(self, request: BaseModel) -> None:
        self.requests.append(request)
        error, self.refuse = self.refuse, None
        if error is not None:
            raise error

    async def end(self) -> ErrorBody | None:
        """Wait for leave to go on; return how to fail, if so."""
        await self.going.wait()
        error, self.fail = self.fail, None
        return error

    async def tell(self, subject: Subject, kind: type[events.Event], **fields: Any) -> None:
        entity = next(v for k, v in fields.items() if k.endswith("_id"))
        await self.publisher.publish(subject, kind(**fields), entity_id=entity)


def the(rows: dict[str, Row], key: str, code: ErrorCode, kind: str) -> Row:
    if key not in rows:
        raise NotFound(f"There is no {kind} {key}.", code=code, reason="unknown")
    return rows[key]


def page(rows: list[Row], limit: int, offset: int) -> tuple[list[Row], int]:
    newest_first = rows[::-1]
    return newest_first[offset : offset + limit], len(rows)
