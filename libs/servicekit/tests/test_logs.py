"""Log lines are JSON, carry their trace, and hold no credentials."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from mistudio_servicekit import logs
from mistudio_servicekit.telemetry import tracer_provider


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_says_when_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("catalog", "info")
    logging.getLogger("a.b").info("Counted %s.", 3, extra={"model_id": "m_a"})
    logging.getLogger("a.b").debug("Not written.")
    [line] = lines(capsys)
    assert line["service"] == "catalog"
    assert line["level"] == "INFO"
    assert line["logger"] == "a.b"
    assert line["message"] == "Counted 3."
    assert line["model_id"] == "m_a"
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert "trace_id" not in line


def test_a_line_within_a_span_carries_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("catalog", "INFO")
    with tracer_provider("catalog").get_tracer("test").start_as_current_span("work") as span:
        logging.getLogger().info("Here.")
        trace = f"{span.get_span_context().trace_id:032x}"
    assert lines(capsys)[0]["trace_id"] == trace


def test_an_exception_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("catalog", "INFO")
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger().exception("Failed.")
    [line] = lines(capsys)
    assert "KeyError" in line["exc_info"]


def test_credentials_of_addresses_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("catalog", "INFO")
    logging.getLogger().info("At %s", "nats://catalog:s3cret@bus:4222", extra={"url": "x://a:b@c"})
    out = capsys.readouterr().out
    assert "s3cret" not in out
    assert "nats://***@bus:4222" in out
    assert "x://***@c" in out
