"""The clients of a schedule: who asks over HTTP, who publishes on the bus, and who watches."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from mistudio_contracts import subjects
from mistudio_contracts.subjects import Subject

from .draw import Deed, Schedule, Verb
from .history import Asked, Event, Json, Outcome, Sitting

if TYPE_CHECKING:
    from typing_extensions import Self

ANSWER_SECONDS = 8.0
"""How long a client waits for one answer; the gateway itself gives up after five."""

INSIST_SECONDS = 25.0
"""How long a client repeats what was not answered."""

PAUSE = 0.2
_COMMANDS: dict[Verb, Subject] = {
    Verb.LOAD: subjects.MODEL_LOAD,
    Verb.UNLOAD: subjects.MODEL_UNLOAD,
    Verb.CANCEL_LOAD: subjects.MODEL_LOAD_CANCEL,
    Verb.DELETE: subjects.MODEL_DELETE,
    Verb.EXTRACT: subjects.EXTRACTION,
    Verb.CANCEL: subjects.EXTRACTION_CANCEL,
    Verb.EVICT: subjects.CACHE_EVICT,
}


@dataclass(frozen=True)
class World:
    """What clients know before they begin.

    Parameters
    ----------
    url, token
        Of the gateway.
    nats_urls
        Where the bus is for who publishes.
    checkpoints
        Paths of models that can be registered.
    datasets
        Ids.
    """

    url: str
    token: str
    nats_urls: list[str]
    checkpoints: list[str]
    datasets: list[str]


@dataclass
class Known:
    """What the clients of a schedule have in common."""

    models: dict[int, str] = field(default_factory=dict)
    extractions: list[str] = field(default_factory=list)


class Crowd:
    """All clients of one schedule, on a thread of their own.

    Parameters
    ----------
    world
        Where everything is.
    schedule
        Who does what and when.
    """

    def __init__(self, world: World, schedule: Schedule) -> None:
        self._world, self._schedule = world, schedule
        self._known = Known()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crowd", daemon=True)
        self._asked: list[Asked] = []
        self._watchers = {"steady": Watcher(world), "restless": Watcher(world)}
        self._begun = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        for watcher in self._watchers.values():
            self._do(watcher.begin())
        self._begun = time.monotonic()
        self._acting = asyncio.run_coroutine_threadsafe(self._act(), self._loop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._acting.cancel()
        for watcher in self._watchers.values():
            self._do(watcher.end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def finish(self) -> tuple[Asked, ...]:
        """Wait until every client knows what it can know; return all that was asked."""
        self._acting.result(INSIST_SECONDS + 2 * ANSWER_SECONDS)
        return tuple(sorted(self._asked, key=lambda asked: asked.begun))

    def heard(self, newest: Event) -> bool:
        """Tell whether every watcher has been told of an event."""
        return all(newest.place in watcher.places for watcher in self._watchers.values())

    def watched(self) -> dict[str, tuple[Sitting, ...]]:
        """Return what each watcher was told."""
        return {name: tuple(watcher.sittings) for name, watcher in self._watchers.items()}

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(INSIST_SECONDS)

    async def _act(self) -> None:
        restless = self._watchers["restless"]
        limits = httpx.Limits(max_connections=100)
        headers = {"Authorization": f"Bearer {self._world.token}"}
        async with (
            httpx.AsyncClient(
                base_url=self._world.url, headers=headers, timeout=ANSWER_SECONDS, limits=limits
            ) as http,
            _connected(self._world.nats_urls) as bus,
        ):
            await asyncio.gather(
                *(self._at(deed.at, self._deed(http, bus, deed)) for deed in self._schedule.deeds),
                *(self._at(at, restless.leave(lasts)) for at, lasts in self._schedule.absences),
            )

    async def _at(self, at: float, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.sleep(max(0.0, at - self.now))
        await work

    async def _deed(self, http: httpx.AsyncClient, bus: Client, deed: Deed) -> None:
        target = await self._target(http, deed)
        if target is None:
            return  # There is nothing yet that this could be asked of.
        begun = self.now
        if deed.client == "bus":
            outcome, told, ids, status = await self._publish(bus, deed, target)
        else:
            outcome, told, ids, status = await self._request(http, deed, target)
        if deed.verb is Verb.REGISTER and outcome is Outcome.ACCEPTED:
            target = self._known.models[deed.slot] = ids["model_id"]
        if deed.verb is Verb.EXTRACT and outcome is Outcome.ACCEPTED:
            self._known.extractions.append(ids["extraction_id"])
        self._asked.append(
            Asked(deed.client, deed.verb, target, begun, self.now, outcome, told, ids, status)
        )

    async def _target(self, http: httpx.AsyncClient, deed: Deed) -> str | None:
        if deed.verb is Verb.REGISTER:
            return self._world.checkpoints[deed.checkpoint]
        if deed.verb is Verb.CANCEL:
            return _pick(self._known.extractions, deed.pick)
        if deed.verb is Verb.EVICT:
            try:
                answer = await http.get("/api/activations")
                found = [cache["id"] for cache in answer.json()["activations"]]
            except (httpx.TransportError, KeyError, ValueError):
                return None
            return _pick(sorted(found), deed.pick)
        return self._known.models.get(deed.slot)

    async def _request(
        self, http: httpx.AsyncClient, deed: Deed, target: str
    ) -> tuple[Outcome, str, dict[str, str], int]:
        method, path, body = self._over_http(deed, target)
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        until = self.now + INSIST_SECONDS
        told, status, unsure = "no answer", 0, False
        while self.now < until:
            try:
                answer = await http.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                told, status, unsure = type(error).__name__, 0, True
            else:
                status, found = answer.status_code, _json(answer)
                told = f"{status} {_code(found)}".strip()
                if answer.is_success:
                    return Outcome.ACCEPTED, told, _ids(deed, found), status
                if status < 500 and status != httpx.codes.TOO_MANY_REQUESTS:
                    # Without a key the first try may have done what the second was refused for.
                    doubtful = unsure and method == "DELETE"
                    outcome = Outcome.UNKNOWN if doubtful else Outcome.REFUSED
                    return outcome, told, {}, status
                if status not in (500, 502, 503, 504):
                    return Outcome.REFUSED, told, {}, status
                if status == httpx.codes.INTERNAL_SERVER_ERROR:
                    return Outcome.UNKNOWN, told, {}, status
                unsure = True
            await asyncio.sleep(PAUSE)
        return Outcome.UNKNOWN, told, {}, status

    def _over_http(self, deed: Deed, target: str) -> tuple[str, str, Json | None]:
        if deed.verb is Verb.REGISTER:
            body: Json = {"name": f"m{deed.slot}", "source": "local", "model_identifier": target}
            return "POST", "/api/models", body
        if deed.verb is Verb.EXTRACT:
            return "POST", f"/api/models/{target}/extract-activations", self._extraction(deed)
        return {
            Verb.LOAD: ("POST", f"/api/models/{target}/load", {}),
            Verb.UNLOAD: ("POST", f"/api/models/{target}/unload", None),
            Verb.CANCEL_LOAD: ("POST", f"/api/models/{target}/load/cancel", None),
            Verb.DELETE: ("DELETE", f"/api/models/{target}", None),
            Verb.CANCEL: ("POST", f"/api/extractions/{target}/cancel", None),
            Verb.EVICT: ("DELETE", f"/api/activations/{target}", None),
        }[deed.verb]

    def _extraction(self, deed: Deed) -> Json:
        return {
            "dataset_id": self._world.datasets[deed.dataset],
            "layer_indices": list(deed.layers),
        }

    async def _publish(
        self, bus: Client, deed: Deed, target: str
    ) -> tuple[Outcome, str, dict[str, str], int]:
        """Publish a command until the stream confirms it, each time with the same id."""
        subject, ids = _COMMANDS[deed.verb].pattern, {"command_id": uuid.uuid4().hex}
        body: Json = {"requested_by": "tests"}
        if deed.verb is Verb.EXTRACT:
            ids["extraction_id"] = f"ext_{uuid.uuid4().hex}"
            body |= self._extraction(deed) | {"extraction_id": ids["extraction_id"]}
        kind = {Verb.CANCEL: "extraction_id", Verb.EVICT: "cache_id"}.get(deed.verb, "model_id")
        body[kind] = target
        headers = {
            "Nats-Msg-Id": ids["command_id"],
            "ce-id": ids["command_id"],
            "ce-type": subject,
            "ce-source": "tests",
        }
        until, told = self.now + INSIST_SECONDS, ""
        while self.now < until:
            try:
                kept = await bus.jetstream().publish(
                    subject,
                    json.dumps(body).encode(),
                    timeout=2.0,
                    stream="COMMANDS",
                    headers=headers,
                )
            except (
                nats.errors.Error,
                nats.js.errors.Error,
                asyncio.TimeoutError,
                OSError,
            ) as error:
                told = type(error).__name__
                await asyncio.sleep(PAUSE)
            else:
                return Outcome.ACCEPTED, f"#{kept.seq}", ids, 0
        return Outcome.UNKNOWN, told, ids, 0


class Watcher:
    """A WebSocket client that comes back with the last id it was told, whenever it is cut off."""

    def __init__(self, world: World) -> None:
        self._address = world.url.replace("http", "ws", 1) + "/ws"
        self._token = world.token
        self.sittings: list[Sitting] = []
        self.places: set[tuple[int, str, str]] = set()
        self.last = -1
        self._stream: str | None = None
        self._socket: Any = None
        self._stays = asyncio.Event()
        self._stays.set()
        self._seated = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Begin to watch; returns when the server has said from where on."""
        self._watching = asyncio.create_task(self._watch())
        await self._seated.wait()

    async def end(self) -> None:
        """Go for good."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def leave(self, seconds: float) -> None:
        """Go, and come back after a while."""
        self._stays.clear()
        if self._socket is not None:
            await self._socket.close()
        await asyncio.sleep(seconds)
        self._stays.set()

    async def _watch(self) -> None:
        while True:
            await self._stays.wait()
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                await self._sit(None if self.last < 0 else self.last)
            await asyncio.sleep(PAUSE / 2)

    async def _sit(self, after: int | None) -> None:
        events: list[Event] = []
        place: int | None = None
        async with connect(
            self._address, max_size=None, open_timeout=5.0, close_timeout=1.0, ping_interval=5.0
        ) as socket:
            self._socket = socket
            await socket.send(json.dumps({"token": self._token}))
            wanted = {"after": after, "stream": self._stream}
            await socket.send(json.dumps({"subscribe": wanted}))
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "subscribed":
                    newest, gap = int(frame["id"]), bool(frame["data"].get("gap"))
                    before, self._stream = self._stream, frame["data"]["stream"]
                    place = len(self.sittings)
                    self.sittings.append(Sitting(after, newest, gap, ()))
                    if after is None:
                        self.last = newest
                    elif before != self._stream:
                        self.last = 0
                    self._seated.set()
                elif frame.get("id") is not None and place is not None:
                    events.append(Event(frame["id"], frame["type"], frame["data"]))
                    self.places.add(events[-1].place)
                    self.last = frame["id"]
                    sitting = self.sittings[place]
                    self.sittings[place] = Sitting(
                        sitting.after, sitting.newest, sitting.gap, tuple(events)
                    )


@contextlib.asynccontextmanager
async def _connected(urls: list[str]) -> AsyncIterator[Client]:
    async def ignore(_: Exception) -> None:
        """What breaks is told by each publish."""

    client = await nats.connect(
        urls, error_cb=ignore, reconnect_time_wait=0.2, max_reconnect_attempts=-1
    )
    try:
        yield client
    finally:
        await client.close()


def _pick(found: list[str], share: float) -> str | None:
    return found[int(share * len(found))] if found else None


def _json(answer: httpx.Response) -> Json:
    try:
        found = answer.json() if answer.content else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _code(found: Json) -> str:
    # A model that failed has an error of its own.
    error = found.get("error") or {}
    return f"{error.get('code', '')} {error.get('details', {}).get('reason', '')}".strip()


def _ids(deed: Deed, found: Json) -> dict[str, str]:
    names = ("task_id", "extraction_id")
    ids = {name: str(found[name]) for name in names if found.get(name)}
    if deed.verb is Verb.REGISTER:
        ids["model_id"] = str(found["id"])
    return ids
