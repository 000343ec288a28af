"""What is sent again, and what is said when that does not help; against a scripted server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mistudio_client import Client, Unreachable
from mistudio_contracts.errors import (
    InsufficientMemory,
    MiStudioError,
    NotFound,
    RateLimited,
    ServiceUnavailable,
)

DEVICES = {"devices": [], "total": 0}
ACCEPTED = {"id": "m_a", "status": "loading", "task_id": "task_a", "message": "Loading began"}

Answer = tuple[int, dict[str, str], Any]
BREAK: Answer = (0, {}, None)


def error(status: int, code: str, **headers: str) -> Answer:
    return status, headers, {"error": {"code": code, "message": f"It is {code}."}}


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[Client, list[tuple[str, str | None]]]]:
    """A server that gives these answers in turn, and what it was asked."""
    waiting = list(answers)
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer()

        do_PATCH = do_DELETE = do_POST  # noqa: N815

        def _answer(self) -> None:
            asked.append((self.command, self.headers.get("Idempotency-Key")))
            status, headers, content = waiting.pop(0)
            if not status:
                self.close_connection = True
                return
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output to themselves."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with Client(f"http://127.0.0.1:{server.server_port}", "t", timeout=10) as client:
            yield client, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_reading_is_repeated_after_a_broken_connection() -> None:
    with answering(BREAK, (200, {}, DEVICES)) as (client, asked):
        assert client.devices().total == 0

    assert len(asked) == 2


def test_a_request_is_repeated_under_the_same_key() -> None:
    with answering(BREAK, (200, {}, ACCEPTED)) as (client, asked):
        client.models.load("m_a")

    (_, first), (_, second) = asked
    assert first is not None
    assert first == second


def test_two_requests_have_two_keys() -> None:
    with answering((200, {}, ACCEPTED), (200, {}, ACCEPTED)) as (client, asked):
        client.models.load("m_a")
        client.models.load("m_a")

    assert len({key for _, key in asked}) == 2


def test_a_busy_service_is_asked_again_when_it_says() -> None:
    busy = error(503, "SERVICE_UNAVAILABLE", Retry_After="0")
    with answering(busy, busy, (200, {}, DEVICES)) as (client, asked):
        client.devices()

    assert len(asked) == 3


def test_a_service_that_stays_busy_is_reported_in_its_own_words() -> None:
    busy = error(503, "SERVICE_UNAVAILABLE", Retry_After="0")
    with (
        answering(*[busy] * 4) as (client, asked),
        pytest.raises(ServiceUnavailable, match="It is SERVICE_UNAVAILABLE"),
    ):
        client.devices()

    assert len(asked) == 4


def test_a_long_pause_is_left_to_the_caller() -> None:
    with (
        answering(error(503, "INSUFFICIENT_MEMORY", Retry_After="300")) as (client, asked),
        pytest.raises(InsufficientMemory),
    ):
        client.models.load("m_a")

    assert len(asked) == 1


def test_other_refusals_are_not_repeated() -> None:
    with (
        answering(error(429, "RATE_LIMITED", Retry_After="1")) as (client, asked),
        pytest.raises(RateLimited),
    ):
        client.models.load("m_a")

    assert len(asked) == 1


def test_a_deletion_is_never_repeated() -> None:
    with answering(BREAK) as (client, asked), pytest.raises(Unreachable):
        client.models.delete("m_a")

    assert asked == [("DELETE", None)]


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (502, ServiceUnavailable), (500, MiStudioError)]
)
def test_the_page_of_some_other_server_becomes_an_error_too(
    status: int, kind: type[MiStudioError]
) -> None:
    with (
        answering((status, {}, b"<html>")) as (client, _),
        pytest.raises(kind, match=f"HTTP {status}") as caught,
    ):
        client.devices()

    assert "is a miStudio service" in caught.value.details["remedy"]


def test_an_answer_of_another_shape_is_an_error_of_ours() -> None:
    with (
        answering((200, {}, {"devices": "none"})) as (client, _),
        pytest.raises(MiStudioError, match="could not be read as a DevicePage"),
    ):
        client.devices()
