"""What a killed process was at, as the next one tells it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id

from mistudio_servicekit import telemetry
from mistudio_servicekit.journal import Journal, keep_journal
from mistudio_servicekit.telemetry import Sending


class Process:
    """The part of a process that makes spans and sends them."""

    def __init__(self, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sent = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.sending = Sending(self.provider, self._sent)
        monkeypatch.setattr(telemetry, "_providers", {"worker": self.provider})
        monkeypatch.setattr(telemetry, "_exporters", {"worker": self.sending})
        keep_journal("worker", journal)
        self.tracer = self.provider.get_tracer("test")

    @property
    def sent(self) -> dict[str, str]:
        self.sending.processor.force_flush()
        return {
            span.name: str((span.attributes or {}).get("error.type", "ok"))
            for span in self._sent.get_finished_spans()
        }

    def all(self) -> Iterator[tuple[str, str, str | None]]:
        self.sending.processor.force_flush()
        for span in self._sent.get_finished_spans():
            parent = None if span.parent is None else format_span_id(span.parent.span_id)
            yield span.name, format_span_id(span.get_span_context().span_id), parent

    def die(self) -> None:
        """As by a signal: the kernel lets go of the lock, and nothing is sent any more."""
        for processor in self.provider._active_span_processor._span_processors:
            if isinstance(processor, Journal):
                processor.shutdown()


def test_a_span_that_was_sent_is_not_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Process(tmp_path, monkeypatch)
    with first.tracer.start_as_current_span("done"):
        pass
    assert first.sent == {"done": "ok"}
    first.die()
    assert Process(tmp_path, monkeypatch).sent == {}


def test_a_span_that_ended_and_was_not_sent_is_told_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Process(tmp_path, monkeypatch)
    with first.tracer.start_as_current_span("done", kind=SpanKind.PRODUCER):
        pass
    with first.tracer.start_as_current_span("failed") as failed:
        failed.set_attribute("error.type", "timeout")
    first.die()
    assert Process(tmp_path, monkeypatch).sent == {"done": "ok", "failed": "timeout"}


def test_what_was_under_way_ends_as_failed_and_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Process(tmp_path, monkeypatch)
    outer = first.tracer.start_as_current_span("process", attributes={"a.b": 3})
    inner = first.tracer.start_as_current_span("capture")
    with outer as process, inner as capture:
        first.die()
        second = Process(tmp_path, monkeypatch)
        assert second.sent == {"process": "process_died", "capture": "process_died"}
        outer_id, inner_id = (
            format_span_id(each.get_span_context().span_id) for each in (process, capture)
        )
        assert set(second.all()) == {
            ("process", outer_id, None),
            ("capture", inner_id, outer_id),
        }
    assert Process(tmp_path, monkeypatch).sent == {}, "it is told once"


def test_a_process_that_lives_is_not_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Process(tmp_path, monkeypatch)
    with first.tracer.start_as_current_span("at work"):
        assert Process(tmp_path, monkeypatch).sent == {}
    assert first.sent == {"at work": "ok"}


def test_half_a_file_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0001.json").write_text('{"name": "ca')
    assert Process(tmp_path, monkeypatch).sent == {}
    assert not list(tmp_path.glob("*.json"))
