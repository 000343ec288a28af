"""A crowd before the gateway, in a process of its own: WebSocket clients, and requests at a pace.

Requests are sent when they are due, whether or not those before them have been answered, and their
seconds count from then: a server that falls behind is not spared what it keeps waiting.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from benchmarks._harness import Job

AT_A_TIME = 100
"""Clients that connect side by side."""

CONNECTIONS = 64
"""Over which the requests go."""

PATIENCE = 20.0
"""Seconds after the last event in which the last client must have it."""

SPARE_FILES = 200
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """What a crowd does.

    Parameters
    ----------
    url, token
        Of the gateway.
    model
        Id of a registered model that requests ask for.
    checkpoint
        A local checkpoint that is registered and deleted, which makes two events.
    clients
        WebSocket clients that hear of everything.
    rate, seconds
        Requests a second, and for how long.
    events
        Events a second.
    into
        File that the figures go to, as JSON.
    """

    url: str
    token: str
    model: str
    checkpoint: str
    clients: int
    rate: int
    seconds: float
    events: float
    into: str


class Listener(asyncio.Protocol):
    """A WebSocket client that takes whatever comes."""

    def __init__(self, plan: Plan) -> None:
        self._protocol = ClientProtocol(parse_uri(plan.url.replace("http", "ws", 1) + "/ws"))
        self._token = plan.token
        self._transport: asyncio.Transport | None = None
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.got: list[int] = []
        self.delays: list[float] = []
        self.code: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._say({"token": self._token})
                self._say({"subscribe": {"devices": False}})
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._take(json.loads(bytes(event.data)))
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        close = self._protocol.close_rcvd
        self.code = 1006 if close is None else close.code
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError(f"closed with {self.code}"))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "subscribed":
            self.subscribed.set_result(None)
        elif frame["id"] is not None:
            self.got.append(frame["id"])
            moment = datetime.fromisoformat(frame["data"]["timestamp"].replace("Z", "+00:00"))
            self.delays.append(time.time() - moment.timestamp())

    def _say(self, message: dict[str, Any]) -> None:
        self._protocol.send_text(json.dumps(message).encode())

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()


class Caller:
    """A connection kept alive, for one request at a time."""

    def __init__(self, plan: Plan) -> None:
        self._host, _, self._port = plan.url.removeprefix("http://").partition(":")
        self._head = f"Host: {self._host}\r\nAuthorization: Bearer {plan.token}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and return the answer's status and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, int(self._port))
        reader, writer = self._streams
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        writer.write(f"{method} /api{path} HTTP/1.1\r\n{self._head}{kind}\r\n".encode() + body)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            content = await reader.readexactly(int(length[1])) if length else b""
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
            writer.close()
            raise
        return int(head[9:12]), content

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


@dataclass
class Answers:
    """What became of the requests: statuses, or the name of what was raised, and seconds.

    ``seconds`` count from when a request was due, ``sent_seconds`` from when it was sent.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    sent_seconds: list[float] = field(default_factory=list)
    last: float = 0.0


class Crowd:
    """The clients, connected once, and what they do for a while."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._listeners: list[Listener] = []
        self._callers = [Caller(plan) for _ in range(CONNECTIONS)]
        model = f"/models/{plan.model}"
        # What the web UI asks for every five seconds when its WebSocket is away, and one model.
        self._asked = (model, "/models", model, "/extractions", model, "/datasets", model, model)

    async def connect(self) -> None:
        """Connect and subscribe every client."""
        host, _, port = self._plan.url.removeprefix("http://").partition(":")
        loop = asyncio.get_running_loop()
        for begin in range(0, self._plan.clients, AT_A_TIME):
            count = min(AT_A_TIME, self._plan.clients - begin)
            made = await asyncio.gather(
                *(
                    loop.create_connection(lambda: Listener(self._plan), host, int(port))
                    for _ in range(count)
                )
            )
            self._listeners += [listener for _, listener in made]
            await asyncio.gather(*(listener.subscribed for _, listener in made))

    async def drive(self) -> dict[str, Any]:
        """Ask and make events for a while, wait until all is heard, and return the figures."""
        began = time.monotonic()
        answers, published = await asyncio.gather(self._ask(), self._publish())
        if self._listeners:
            await self._heard(published)
        seen = [listener.got for listener in self._listeners]
        delays = [delay for listener in self._listeners for delay in listener.delays]
        return {
            "seconds": round(time.monotonic() - began, 1),
            "asked": sum(answers.statuses.values()),
            "answered_over_seconds": round(answers.last, 2),
            "statuses": dict(answers.statuses),
            "request_seconds": answers.seconds,
            "sent_seconds": answers.sent_seconds,
            "events": published,
            "frames": sum(map(len, seen)),
            "clients_with_every_event": sum(len(got) == published for got in seen),
            "clients_in_order": sum(got == sorted(set(got)) for got in seen),
            "clients_still_there": sum(each.code is None for each in self._listeners),
            "frame_delays": delays,
        }

    def leave(self) -> None:
        """Close every connection."""
        for listener in self._listeners:
            listener.close()
        for caller in self._callers:
            caller.close()

    async def _ask(self) -> Answers:
        found = Answers()
        free: asyncio.Queue[Caller] = asyncio.Queue()
        for caller in self._callers:
            free.put_nowait(caller)
        begin = time.monotonic()
        asked: list[asyncio.Task[None]] = []
        for number in range(int(self._plan.rate * self._plan.seconds)):
            due = begin + number / self._plan.rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            caller = await free.get()
            asked.append(asyncio.create_task(self._one(caller, free, number, due, found)))
        await asyncio.gather(*asked)
        found.last = time.monotonic() - begin
        return found

    async def _one(
        self, caller: Caller, free: asyncio.Queue[Caller], number: int, due: float, found: Answers
    ) -> None:
        sent = time.monotonic()
        try:
            status, _ = await caller.ask("GET", self._asked[number % len(self._asked)])
            found.statuses[str(status)] += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            found.statuses[type(error).__name__] += 1
        over = time.monotonic()
        found.seconds.append(over - due)
        found.sent_seconds.append(over - sent)
        free.put_nowait(caller)

    async def _publish(self) -> int:
        """Register and delete a model in turn; return the events that this made."""
        caller = Caller(self._plan)
        body = {"name": "load", "source": "local", "model_identifier": self._plan.checkpoint}
        registered: str | None = None
        published = 0
        begin = time.monotonic()
        while (late := begin + published / self._plan.events) < begin + self._plan.seconds:
            await asyncio.sleep(max(0.0, late - time.monotonic()))
            if registered is None:
                status, content = await caller.ask("POST", "/models", json.dumps(body).encode())
                assert status == 201, content
                registered = str(json.loads(content)["id"])
            else:
                status, content = await caller.ask("DELETE", f"/models/{registered}")
                assert status in (200, 204), content
                registered = None
            published += 1
        caller.close()
        return published

    async def _heard(self, published: int) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if all(len(listener.got) >= published for listener in self._listeners):
                return
            await asyncio.sleep(0.1)


def crowd(plan: Plan) -> Job:
    """Connect a crowd and return the job of driving it once; what that returns sends it home."""
    allow_files(plan.clients + CONNECTIONS + SPARE_FILES)
    loop = asyncio.new_event_loop()
    here = Crowd(plan)
    loop.run_until_complete(here.connect())

    def job() -> object:
        figures = loop.run_until_complete(here.drive())
        Path(plan.into).write_text(json.dumps(figures), encoding="utf-8")
        return here.leave

    return job


def allow_files(needed: int) -> None:
    """Let this process open as many files as it needs.

    Raises
    ------
    RuntimeError
        When the hard limit is lower.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < needed:
        raise RuntimeError(f"{needed} open files are needed; `ulimit -Hn` allows {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
