"""The spans of messages: where each belongs, what it says, and when it has failed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id

from mistudio_contracts import rpc as messages
from mistudio_contracts import subjects
from mistudio_contracts.commands import LoadModel
from mistudio_contracts.errors import InvalidInput, MiStudioError, ServiceUnavailable
from mistudio_contracts.reports import ShardProgressedReport
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery, consume, listen
from mistudio_servicekit.rpc import call, serve
from mistudio_servicekit.telemetry import tracer_provider
from mistudio_servicekit.tracing import span, traceparent, within

from .conftest import Bus, load, until

Spans = InMemorySpanExporter

ASK = "request rpc.catalog.cache.evict"
ANSWER = "process rpc.catalog.cache.evict"
SEND = "publish model.load.requested"
HANDLE = "process model.load.requested"


@pytest.fixture
def spans() -> Iterator[Spans]:
    """What the process's services say of themselves."""
    sent = InMemorySpanExporter()
    for service in ("catalog", "gateway"):
        tracer_provider(service).add_span_processor(SimpleSpanProcessor(sent))
    yield sent
    sent.shutdown()


def named(spans: Spans, name: str) -> list[ReadableSpan]:
    return [each for each in spans.get_finished_spans() if each.name == name]


def parent_of(made: ReadableSpan) -> str | None:
    return None if made.parent is None else format_span_id(made.parent.span_id)


def id_of(made: ReadableSpan) -> str:
    return format_span_id(made.get_span_context().span_id)


def error_of(made: ReadableSpan) -> Any:
    assert made.status.is_ok is ("error.type" not in (made.attributes or {}))
    assert not made.events, "no exception goes along"
    return (made.attributes or {}).get("error.type")


async def test_a_command_is_sent_by_one_span_and_handled_by_its_child(
    bus: Bus, publisher: Publisher, spans: Spans
) -> None:
    broker, handled = bus.broker(), asyncio.Event()

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        handled.set()

    consume(broker, subjects.MODEL_LOAD, handle)
    async with bus.run(broker):
        await publisher.publish(subjects.MODEL_LOAD, load(), entity_id="m_one", msg_id="evt_1")
        await handled.wait()
    (sent,), (taken,) = named(spans, SEND), named(spans, HANDLE)
    assert (sent.kind, taken.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert (parent_of(sent), parent_of(taken)) == (None, id_of(sent))
    both = {
        "messaging.system": "nats",
        "messaging.destination.name": "model.load.requested",
        "messaging.message.id": "evt_1",
        "messaging.message.body.size": len(load().model_dump_json()),
        "cloudevents.event_id": "evt_1",
        "cloudevents.event_type": "model.load.requested",
        "cloudevents.event_source": "gateway",
        "cloudevents.event_subject": "m_one",
    }
    assert dict(sent.attributes or {}) == {
        **both,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
    }
    assert dict(taken.attributes or {}) == {
        **both,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": subjects.MODEL_LOAD.durable(),
        "messaging.nats.message.delivery_count": 1,
    }


async def test_each_delivery_is_a_span_of_the_one_trace_and_says_how_it_ended(
    bus: Bus, publisher: Publisher, spans: Spans
) -> None:
    broker, over = bus.broker(), asyncio.Event()

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise ServiceUnavailable("Not now.", reason="child_died")
        over.set()

    consume(broker, subjects.MODEL_LOAD, handle, delay=lambda _: 0.01)
    async with bus.run(broker):
        await publisher.publish(subjects.MODEL_LOAD, load(), entity_id="m_one")
        await over.wait()
    (sent,), (first, second) = named(spans, SEND), named(spans, HANDLE)
    assert parent_of(first) == parent_of(second) == id_of(sent)
    assert [error_of(first), error_of(second)] == ["SERVICE_UNAVAILABLE", None]
    assert (first.attributes or {})["mistudio.reason"] == "child_died"
    assert (second.attributes or {})["messaging.nats.message.delivery_count"] == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidInput("No.", field="cache_id", reason="unknown"), None),
        (ServiceUnavailable("Not now.", reason="away"), "SERVICE_UNAVAILABLE"),
        (RuntimeError("in /srv/secret"), "INTERNAL_ERROR"),
    ],
)
async def test_an_answer_is_no_span_and_fails_its_request_only_where_the_service_is_at_fault(
    bus: Bus, spans: Spans, error: Exception, told: str | None
) -> None:
    broker, gateway = bus.broker(), bus.broker("gateway")

    async def answer(request: Any) -> messages.Done:
        raise error

    serve(broker, subjects.RPC_CACHE_EVICT, answer)
    async with bus.run(broker), bus.run(gateway, "gateway"):
        with pytest.raises(MiStudioError):
            await call(
                gateway, subjects.RPC_CACHE_EVICT, messages.EvictCacheRequest(cache_id="act_1")
            )
    assert {each.name for each in spans.get_finished_spans()} == {ASK, ANSWER}
    (asked,), (answered,) = named(spans, ASK), named(spans, ANSWER)
    assert parent_of(answered) == id_of(asked)
    assert error_of(answered) == told
    assert "/srv" not in (answered.status.description or "")


async def test_a_trace_goes_through_progress_which_has_no_span(bus: Bus, spans: Spans) -> None:
    broker, seen = bus.broker(), []

    async def hear(report: ShardProgressedReport) -> None:
        seen.append(traceparent())

    listen(broker, subjects.LIVE_SHARD, hear, shared=True)
    report = ShardProgressedReport(
        task_id="t_1", extraction_id="ex_1", shard_index=0, samples_done=1
    )
    async with bus.run(broker):
        with span("capture"):
            here = traceparent()
            await Publisher(broker, "extractor").publish(
                subjects.LIVE_SHARD, report, entity_id="ex_1"
            )
            await until(lambda: seen)
    assert seen == [here]
    assert not [each for each in spans.get_finished_spans() if "live" in each.name]


def test_what_was_put_down_is_taken_up_in_its_trace() -> None:
    assert traceparent() is None
    with span("request"):
        kept = traceparent()
    with within(kept):
        assert traceparent() == kept
        with within(None):
            assert traceparent() == kept
    assert traceparent() is None


def test_work_that_raises_has_failed_and_says_no_more_than_its_kind(spans: Spans) -> None:
    made: list[Any] = []

    def work() -> None:
        with span("commit", shards=3, at=None):
            made.append(trace.get_current_span())
            raise OSError("/srv/secret")

    with pytest.raises(OSError, match="secret"):
        work()
    assert error_of(made[0]) == "OSError"
    assert made[0].status.description is None
    assert made[0].attributes == {"mistudio.shards": 3, "error.type": "OSError"}
