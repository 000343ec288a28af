"""The event stream against a server that breaks off when the test says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from mistudio_client import Unreachable, waiting
from mistudio_client.address import Address
from mistudio_client.events import EventStream, select
from mistudio_client.waiting import wait_until
from mistudio_contracts.errors import Unauthorized
from mistudio_contracts.frames import Frame

from .conftest import free_port

Script = Callable[[ServerConnection], None]


class Breaking:
    """A gateway's ``/ws``: each connection is served by the next script, then broken off."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str] = []

    def handle(self, socket: ServerConnection) -> None:
        self.tokens.append(json.loads(socket.recv())["token"])
        self.asked.append(json.loads(socket.recv())["subscribe"])
        self._scripts.pop(0)(socket)

    @contextmanager
    def listening(self, port: int = 0) -> Iterator[Address]:
        with serve(self.handle, "127.0.0.1", port) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield Address(f"http://127.0.0.1:{server.socket.getsockname()[1]}", "the-token")
            finally:
                server.shutdown()
                thread.join()


def event(sequence: int | None, kind: str = "model:ready", **data: Any) -> str:
    return Frame(id=sequence, type=kind, data=data).model_dump_json()


def sends(newest: int | None, *frames: str, stay: bool = False) -> Script:
    """Answer a subscription, send frames, and break off unless told to stay."""

    def script(socket: ServerConnection) -> None:
        socket.send(json.dumps({"type": "subscribed", "id": newest, "data": {}}))
        for frame in frames:
            socket.send(frame)
        if stay:
            for _ in socket:
                pass
        else:
            socket.socket.shutdown(2)

    return script


def take(stream: EventStream, count: int) -> list[int | None]:
    frames = (stream.next(10) for _ in range(count))
    return [None if frame is None else frame.id for frame in frames]


def test_after_a_break_it_asks_for_what_it_missed_and_hands_over_nothing_twice() -> None:
    server = Breaking(
        sends(4, event(5), event(6)),
        sends(8, event(6), event(7), event(8)),
        sends(9, event(9), stay=True),
    )
    with server.listening() as address, EventStream(address, select()) as stream:
        assert take(stream, 5) == [5, 6, 7, 8, 9]

    assert [asked.get("after") for asked in server.asked] == [None, 6, 8]
    assert server.tokens == ["the-token"] * 3


def test_what_happens_before_the_first_event_is_asked_for_too() -> None:
    server = Breaking(sends(41), sends(42, event(42), stay=True))
    with server.listening() as address, EventStream(address, select()) as stream:
        assert take(stream, 1) == [42]

    assert server.asked[1]["after"] == 41


def test_live_progress_has_no_id_and_does_not_move_the_place() -> None:
    progress = event(None, "model:loading", progress=50)
    server = Breaking(sends(3, event(4), progress), sends(5, event(5), stay=True))
    with server.listening() as address, EventStream(address, select()) as stream:
        assert take(stream, 3) == [4, None, 5]

    assert server.asked[1]["after"] == 4


def test_a_stream_that_was_made_anew_is_followed_from_its_beginning() -> None:
    server = Breaking(sends(900, event(901)), sends(2, event(3), stay=True))
    with server.listening() as address, EventStream(address, select()) as stream:
        assert take(stream, 2) == [901, 3]


def test_the_selection_is_sent_as_it_was_made() -> None:
    server = Breaking(sends(1, event(2), stay=True))
    chosen = select(after=0, models=["m_a"], datasets=[], extractions=None, devices=False)
    with server.listening() as address, EventStream(address, chosen) as stream:
        take(stream, 1)

    assert server.asked == [{"after": 0, "models": ["m_a"], "datasets": [], "devices": False}]


def test_a_refused_token_is_raised_and_not_tried_again() -> None:
    refusal = {"code": "UNAUTHORIZED", "message": "The token has expired."}

    def script(socket: ServerConnection) -> None:
        socket.send(json.dumps({"type": "error", "id": None, "data": refusal}))

    server = Breaking(script)
    with (
        server.listening() as address,
        EventStream(address, select()) as stream,
        pytest.raises(Unauthorized, match="The token has expired"),
    ):
        stream.next(10)

    assert len(server.asked) == 1


def test_a_service_that_is_away_for_a_moment_is_tried_again() -> None:
    away = {"code": "SERVICE_UNAVAILABLE", "message": "The bus is away."}

    def script(socket: ServerConnection) -> None:
        socket.send(json.dumps({"type": "error", "id": None, "data": away}))

    server = Breaking(script, sends(1, event(2), stay=True))
    with server.listening() as address, EventStream(address, select()) as stream:
        assert take(stream, 1) == [2]


def test_silence_ends_at_the_time_given() -> None:
    server = Breaking(sends(1, stay=True))
    with server.listening() as address, EventStream(address, select()) as stream:
        assert stream.next(0.1) is None
        assert stream.connected


def test_nobody_there_is_said_when_asked_for() -> None:
    stream = EventStream(Address(f"http://127.0.0.1:{free_port()}", "t"), select())

    assert stream.next(0.1) is None
    with pytest.raises(Unreachable):
        stream.require(0.1)


class Silent(EventStream):
    """Events of a service whose WebSocket cannot be reached; five seconds pass at once."""

    def __init__(self) -> None:
        super().__init__(Address("http://127.0.0.1:9", "t"), select())

    def connect(self, timeout: float | None = None) -> bool:
        return False

    def next(self, timeout: float | None = None) -> Frame | None:
        return None


def wait(stream: EventStream, *answers: str | Exception, ends: str = "") -> tuple[str, list[str]]:
    """Wait for ``ready`` through these readings; return the end and all that was read."""
    left = list(answers)
    seen: list[str] = []

    def fetch() -> str:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = wait_until(
        stream,
        fetch,
        lambda state: state == "ready",
        ends=frozenset({ends}),
        on_state=seen.append,
        on_frame=lambda frame: None,
        timeout=30,
    )
    return found, seen


def test_waiting_reads_the_state_while_there_are_no_events() -> None:
    assert wait(Silent(), "loading", "ready") == ("ready", ["loading", "ready"])


def test_waiting_outlives_a_service_that_is_away_for_a_moment() -> None:
    away = Unreachable("Nobody answers.")

    assert wait(Silent(), "loading", away, away, "ready") == ("ready", ["loading", "ready"])


def test_waiting_does_not_begin_without_a_service() -> None:
    with pytest.raises(Unreachable):
        wait(Silent(), Unreachable("Nobody answers."))


def test_waiting_gives_up_a_service_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", -1.0)

    with pytest.raises(Unreachable):
        wait(Silent(), "loading", Unreachable("Nobody answers."), "ready")


def test_waiting_reads_the_state_when_an_end_is_told() -> None:
    ready = event(2, "model:ready")
    server = Breaking(sends(1, event(None, "model:loading"), ready, stay=True))
    with server.listening() as address:
        found = wait(EventStream(address, select()), "loading", "ready", ends="model:ready")

    assert found == ("ready", ["loading", "ready"])


def test_waiting_reads_the_state_again_after_each_new_subscription() -> None:
    server = Breaking(sends(1), sends(1, event(2, "model:registered"), stay=True))
    with server.listening() as address:
        found = wait(EventStream(address, select()), "loading", "ready")

    assert found == ("ready", ["loading", "ready"])
