"""Log lines are JSON, carry their trace, and hold no credentials."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from mistudio_servicekit import logs
from mistudio_servicekit.telemetry import tracer_provider
from mistudio_testkit.collector import Collector


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
        here = span.get_span_context()
    (line,) = lines(capsys)
    assert line["trace_id"] == f"{here.trace_id:032x}"
    assert line["span_id"] == f"{here.span_id:016x}"


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


def test_a_collector_gets_what_is_written_and_no_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        logs.configure("catalog", "INFO")
        with tracer_provider("catalog").get_tracer("test").start_as_current_span("work") as span:
            trace = f"{span.get_span_context().trace_id:032x}"
            try:
                raise KeyError("nats://catalog:s3cret@bus")
            except KeyError:
                logging.getLogger("a.b").exception("Failed.", extra={"model_id": "m_a", "n": 3})
            logging.getLogger("opentelemetry.exporter").warning("No collector.")
        logging.getLogger().handlers[-1].close()
        (line,) = collector.lines(trace)
    assert (line.service, line.severity, line.message) == ("catalog", "ERROR", "Failed.")
    assert (line.attributes["model_id"], line.attributes["n"]) == ("m_a", 3)
    assert line.attributes["exception.type"] == "KeyError"
    assert "nats://***@bus" in line.attributes["exception.stacktrace"]
    assert "No collector." in capsys.readouterr().out
