"""One WebSocket client: what it selects, what it missed, what it hears."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import dataclass

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import ErrorBody, InvalidInput, MiStudioError, ServiceUnavailable
from mistudio_contracts.frames import ErrorFrame, Selection, Subscribe, Subscribed
from mistudio_gateway.context import Gateway
from mistudio_gateway.domain.events import Interest, PublicEvent
from mistudio_gateway.services.hub import Member
from mistudio_gateway.services.reader import LOST
from mistudio_servicekit.tasks import cancel
from mistudio_servicekit.validation import invalid_input

logger = logging.getLogger(__name__)

EXPIRED = 4401
LAGGING = 4408
RESTARTED = 1012
TRY_LATER = 1013
CLOSE_SECONDS = 15.0
START_SECONDS = 5.0


@dataclass
class Goodbye(Exception):
    """The server ends the connection, with a code and a reason."""

    code: int
    reason: str


class Session:
    """Serves an authenticated client until either side ends it.

    Parameters
    ----------
    websocket
        Accepted already.
    gateway
        The process's parts.
    lifetime
        Seconds the client's token is still good for.
    """

    def __init__(self, websocket: WebSocket, gateway: Gateway, lifetime: float) -> None:
        self._websocket = websocket
        self._here = gateway
        self._lifetime = lifetime
        self._following: asyncio.Task[None] | None = None
        self._selected = asyncio.Event()

    async def run(self) -> None:
        """Serve; returns when the connection is over."""
        receiving = asyncio.create_task(self._receive())
        expiry = asyncio.create_task(asyncio.sleep(self._lifetime))
        goodbye: Goodbye | None = None
        try:
            goodbye = await self._supervise(receiving, expiry)
        finally:
            await cancel(receiving, expiry)
            await self._unfollow()
        if goodbye is not None:
            with suppress(WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):
                closing = self._websocket.close(goodbye.code, goodbye.reason)
                await asyncio.wait_for(closing, CLOSE_SECONDS)

    async def _supervise(
        self, receiving: asyncio.Task[None], expiry: asyncio.Task[None]
    ) -> Goodbye | None:
        while True:
            self._selected.clear()
            selected = asyncio.create_task(self._selected.wait())
            watched = {receiving, expiry, selected}
            if self._following is not None:
                watched.add(self._following)
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            await cancel(selected)
            if receiving.done():
                return goodbye_of(receiving)
            if self._following is not None and self._following.done():
                followed, self._following = self._following, None
                return goodbye_of(followed)
            if expiry.done():
                return Goodbye(EXPIRED, "the access token has expired")

    async def _receive(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                selection = parse(message.get("text"))
            except MiStudioError as error:
                await self._send_error(error.body())
                continue
            await self._unfollow()
            self._following = asyncio.create_task(self._follow(selection))
            self._selected.set()

    async def _unfollow(self) -> None:
        # Taken away first: its end by our own hand is not the end of the session.
        previous, self._following = self._following, None
        await ended(previous)

    async def _follow(self, selection: Selection) -> None:
        hub = self._here.hub
        try:
            await asyncio.wait_for(hub.started.wait(), START_SECONDS)
        except asyncio.TimeoutError as error:
            raise await self._away() from error
        interest = Interest(selection)
        member = Member(interest, self._here.settings.socket_backlog_bytes)
        try:
            # From here to the hub's membership nothing is sent that the hub could overtake.
            await self._catch_up(member, selection)
            await self._live(member)
        finally:
            hub.leave(member)

    async def _catch_up(self, member: Member, selection: Selection) -> None:
        hub, stream = self._here.hub, self._here.feed.incarnation
        newest, after = hub.newest, selection.after
        cursor = max(0, newest - (selection.last or 0)) if after is None else after
        data: dict[str, int | bool | str] = {"stream": stream}
        # An id of a stream that is no more: whatever this one holds is news.
        other = after is not None and (cursor > newest or selection.stream not in (None, stream))
        if other:
            data["gap"] = True
            cursor = 0
        if after is not None and cursor < hub.floor:
            try:
                oldest = await self._here.feed.oldest()
            except LOST as error:
                raise await self._away() from error
            data |= {"gap": other or cursor + 1 < oldest, "oldest": oldest}
        await self._send(Subscribed(id=newest, data=data).model_dump_json())
        while True:
            missed = hub.since(cursor)
            if missed is None:
                cursor = await self._replay(member.interest, cursor, hub.floor)
                continue
            if not missed:
                hub.join(member)
                return
            for event in missed:
                await self._send_event(member.interest, event)
            cursor = missed[-1].sequence or cursor

    async def _replay(self, interest: Interest, after: int, upto: int) -> int:
        try:
            async with aclosing(self._here.feed.older(after, upto)) as events:
                async for event in events:
                    await self._send_event(interest, event)
        except LOST as error:
            raise await self._away() from error
        return upto

    async def _live(self, member: Member) -> None:
        hub = self._here.hub
        try:
            for step, event in await self._here.present.of(member.interest):
                if hub.admits(step):
                    member.begin_progress(step, event)
        except MiStudioError as error:
            # Progress then begins with the next step that is published.
            logger.warning("the newest state is not known", extra={"code": str(error.code)})
        draining = asyncio.create_task(self._drain(member))
        signs = [asyncio.create_task(each.wait()) for each in (member.lagging, member.restarted)]
        try:
            await asyncio.wait([draining, *signs], return_when=asyncio.FIRST_COMPLETED)
            if draining.done():
                draining.result()
            if member.lagging.is_set():
                self._here.metrics.lagging.inc()
                raise Goodbye(LAGGING, "too slow; reconnect with after")
            if member.restarted.is_set():
                raise Goodbye(RESTARTED, "the events begin again; reconnect with after 0")
        finally:
            await cancel(*signs)
            if not draining.done():
                await ended(draining)

    async def _drain(self, member: Member) -> None:
        while True:
            event = await member.next()
            await self._send(event.text)
            # Progress may be older: a client begins with the newest there was.
            if event.sequence is not None:
                delay = (utcnow() - event.payload.timestamp).total_seconds()
                self._here.metrics.delay.observe(max(0.0, delay))

    async def _away(self) -> Goodbye:
        error = ServiceUnavailable(
            "The events cannot be read just now.",
            reason="bus_unavailable",
            remedy="Reconnect in a moment, with the same after.",
        )
        await self._send_error(error.body())
        return Goodbye(TRY_LATER, "the events cannot be read just now")

    async def _send_event(self, interest: Interest, event: PublicEvent) -> None:
        if interest.wants(event.payload):
            await self._send(event.text)

    async def _send_error(self, body: ErrorBody) -> None:
        await self._send(ErrorFrame(data=body).model_dump_json())

    async def _send(self, text: str) -> None:
        # Two tasks send. That the first found the client gone is a bug to starlette when the
        # second comes; nothing else ends the connection while they run.
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect(1006)
        await self._websocket.send_text(text)
        self._here.metrics.frames.inc()


def parse(text: str | None) -> Selection:
    """Read a client's message.

    Raises
    ------
    InvalidInput
        When it is not a subscription.
    """
    if text is None:
        raise InvalidInput(
            "A message is a JSON text, not bytes.",
            field="message",
            reason="binary",
            remedy='Send {"subscribe": {}} as text.',
        )
    try:
        return Subscribe.model_validate_json(text).subscribe
    except ValidationError as error:
        raise invalid_input(error) from error


async def ended(task: asyncio.Task[None] | None) -> None:
    """End a task whose outcome changes nothing any more; what nobody expects is told."""
    await cancel(task)
    if task is not None and not task.cancelled():
        goodbye_of(task)


def goodbye_of(task: asyncio.Task[None]) -> Goodbye | None:
    """Return how a task wants the connection to end; None when it is over already."""
    error = task.exception()
    if error is None or isinstance(error, WebSocketDisconnect):
        return None
    if isinstance(error, Goodbye):
        return error
    logger.error("a WebSocket client could not be served", exc_info=error)
    return Goodbye(1011, "an unexpected error")
