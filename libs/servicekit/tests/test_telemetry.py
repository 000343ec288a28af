"""A trace goes along with the messages, and what happens is counted under bounded names."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry import trace

from mistudio_contracts import rpc as messages
from mistudio_contracts import subjects
from mistudio_contracts.commands import LoadModel
from mistudio_contracts.events import ModelDeleted
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery, consume
from mistudio_servicekit.rpc import call, serve
from mistudio_servicekit.telemetry import render_metrics, tracer_provider

from .conftest import Bus, load, until


def current_trace() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


async def test_one_trace_spans_request_command_and_event(bus: Bus) -> None:
    broker, gateway = bus.broker(), bus.broker("gateway")
    publisher = Publisher(broker, "catalog")
    traces: dict[str, str] = {}

    async def answer(request: Any) -> messages.Done:
        traces["request"] = current_trace()
        await publisher.publish(subjects.MODEL_LOAD, load(), entity_id="m_one")
        return messages.Done()

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        traces["command"] = current_trace()
        event = ModelDeleted(model_id=payload.model_id)
        await publisher.publish(subjects.MODEL_DELETED, event, entity_id=payload.model_id)

    serve(broker, subjects.RPC_CACHE_EVICT, answer)
    consume(broker, subjects.MODEL_LOAD, handle)
    tracer = tracer_provider("gateway").get_tracer("test")
    async with bus.run(broker), bus.run(gateway, "gateway"):
        with tracer.start_as_current_span("POST /api"):
            began = current_trace()
            request = messages.EvictCacheRequest(cache_id="act_1")
            await call(gateway, subjects.RPC_CACHE_EVICT, request)
        await until(lambda: bus.left("EVENTS"))
    event = await bus.js.get_last_msg("EVENTS", "model.deleted")
    traces["event"] = (event.headers or {})["traceparent"].split("-")[1]
    assert traces == {"request": began, "command": began, "event": began}


async def test_metrics_are_labelled_with_subjects_of_the_contract_alone(
    bus: Bus, publisher: Publisher
) -> None:
    broker = bus.broker()

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        """Takes everything."""

    async def answer(request: Any) -> messages.Done:
        return messages.Done()

    consume(broker, subjects.MODEL_LOAD, handle)
    serve(broker, subjects.RPC_CACHE_EVICT, answer)
    async with bus.run(broker):
        await call(broker, subjects.RPC_CACHE_EVICT, messages.EvictCacheRequest(cache_id="act_1"))
        for number in range(5):
            await publisher.publish(
                subjects.MODEL_LOAD, load(f"m_{number}"), entity_id=f"m_{number}"
            )
        await until(lambda: _empty(bus))
    text = render_metrics(broker).decode()
    assert (
        'mistudio_messages_handled_total{outcome="ok",subject="model.load.requested"} 5.0' in text
    )
    assert "faststream_received_messages_total" in text
    assert "process_resident_memory_bytes" in text
    assert "m_1" not in text
    assert "_INBOX" not in text


def test_spans_leave_the_process_only_where_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from mistudio_servicekit import telemetry

    monkeypatch.setattr(telemetry, "_providers", {"other": tracer_provider("other")})
    silent = tracer_provider("silent")
    assert silent._active_span_processor._span_processors == ()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    exporting = tracer_provider("exporting")
    assert len(exporting._active_span_processor._span_processors) == 1
    exporting.shutdown()


def test_a_collector_gets_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    from mistudio_servicekit import telemetry

    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(telemetry, "_providers", {"other": tracer_provider("other")})
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}"
        )
        provider = tracer_provider("exporting")
        with provider.get_tracer("test").start_as_current_span("a span of ours"):
            pass
        assert provider.force_flush(10_000)
        provider.shutdown()
        server.shutdown()
    [(path, body)] = got
    assert path == "/v1/traces"
    assert b"a span of ours" in body
    assert b"mistudio-exporting" in body


async def _empty(bus: Bus) -> bool:
    return await bus.left("COMMANDS") == 0
