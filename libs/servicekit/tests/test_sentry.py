"""Errors at Sentry: which arrive, and what of this machine does not.

Sentry's server is played by one of ours, which keeps the envelopes that the SDK sends.
"""

import gzip
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sentry_sdk

from mistudio_servicekit import logs
from mistudio_servicekit.telemetry import tracer_provider

Event = dict[str, Any]


class Ingest:
    """Takes envelopes as Sentry does."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.paths: set[str] = set()
        ingest = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                ingest.paths.add(self.path)
                ingest.events += _events(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def dsn(self) -> str:
        return f"http://0123456789abcdef@127.0.0.1:{self.server.server_address[1]}/7"


def _events(envelope: bytes) -> Iterator[Event]:
    _, *items = envelope.splitlines()
    for header, payload in zip(items[::2], items[1::2], strict=True):
        if json.loads(header)["type"] == "event":
            yield json.loads(payload)


@pytest.fixture
def ingest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ingest]:
    found = Ingest()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    monkeypatch.setenv("SENTRY_DSN", found.dsn)
    with found.server:
        threading.Thread(target=found.server.serve_forever, daemon=True).start()
        logs.configure("extractor", "INFO")
        yield found
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)
        found.server.shutdown()
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def fail(message: str, **extra: Any) -> None:
    try:
        raise ValueError(message)
    except ValueError:
        logging.getLogger("mistudio.test").exception("A handler failed.", extra=extra)


def sent(ingest: Ingest) -> Event:
    sentry_sdk.flush(timeout=10)
    (event,) = ingest.events
    return event


def test_an_error_arrives_with_its_place_and_its_trace(ingest: Ingest) -> None:
    logging.getLogger().warning("No error.")
    with tracer_provider("extractor").get_tracer("test").start_as_current_span("work") as span:
        fail("nothing to hide", subject="work.default.extraction.shard")
    event = sent(ingest)
    assert ingest.paths == {"/api/7/envelope/"}
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "nothing to hide")
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert event["extra"]["subject"] == "work.default.extraction.shard"
    assert event["contexts"]["trace"]["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert event["server_name"] == "extractor"


def test_paths_credentials_and_variables_stay_here(ingest: Ingest) -> None:
    hidden = "hf_abcdefgh12345678"
    fail(
        f"no {hidden} in /home/ada/models/gpt2, nats://catalog:s3cret@bus:4222",
        file="/data/activations/x/manifest.json",
        access_token="abc",
        header="Bearer eyJhbGciOi.eyJzdWIi.c2ln",
        url="/api/models",
    )
    event = sent(ingest)
    (error,) = event["exception"]["values"]
    assert error["value"] == "no *** in <path>, nats://***@bus:4222"
    assert event["extra"]["file"] == "<path>"
    assert event["extra"]["access_token"] == "***"
    assert event["extra"]["header"] == "Bearer ***"
    whole = json.dumps(event)
    for telling in (hidden, "home/ada", "s3cret", "/data", "eyJ", __file__, "abs_path", "vars"):
        assert telling not in whole


def test_what_is_no_address_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from mistudio_servicekit.sentry import report_errors

    monkeypatch.setenv("SENTRY_DSN", "sentry.example")
    with pytest.raises(ValueError, match="SENTRY_DSN"):
        report_errors("catalog", "1")


def test_nothing_of_it_is_imported_unasked() -> None:
    code = (
        "import sys; from mistudio_servicekit import app, logs; logs.configure('catalog', 'INFO');"
        "print([m for m in sys.modules if m.startswith(('sentry_sdk', 'opentelemetry.exporter'))])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": ""}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
