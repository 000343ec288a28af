"""What becomes of a message of a durable subject."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mistudio_contracts import subjects
from mistudio_contracts.base import utcnow
from mistudio_contracts.commands import LoadModel
from mistudio_contracts.errors import (
    ErrorCode,
    MiStudioError,
    ModelLoadFailed,
    NotFound,
    ServiceUnavailable,
)
from mistudio_contracts.reports import LoadProgressedReport
from mistudio_contracts.states import Dtype, Quantization, Source
from mistudio_contracts.values import Artifact
from mistudio_contracts.work import PlaceModel, PrepareModel
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery, consume
from mistudio_servicekit.failures import retry_delay
from mistudio_servicekit.retrying import LOAD_RETRIES, tell_load_retry

from .conftest import Bus, load, soon, until

SUBJECT = subjects.MODEL_LOAD


class Handler:
    """Raises what it is told, one after another, then succeeds; keeps what it was given."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.deliveries: list[Delivery] = []
        self.payloads: list[LoadModel] = []
        self.given_up: list[MiStudioError] = []

    async def __call__(self, payload: LoadModel, delivery: Delivery) -> None:
        self.payloads.append(payload)
        self.deliveries.append(delivery)
        if self._errors:
            raise self._errors.pop(0)

    async def give_up(self, payload: LoadModel, error: MiStudioError, delivery: Delivery) -> None:
        assert isinstance(payload, LoadModel)
        self.given_up.append(error)


def order_of(subject: subjects.Subject) -> PrepareModel | PlaceModel:
    if subject is subjects.WORK_PLACE:
        artifact = Artifact(
            fingerprint="a" * 32, quantization=Quantization.INT8, dtype=Dtype.FLOAT16, bytes=1
        )
        return PlaceModel(task_id="task_1", model_id="m_a", artifact=artifact)
    return PrepareModel(
        task_id="task_1",
        model_id="m_a",
        source=Source.LOCAL,
        model_identifier="/m",
        quantization=Quantization.INT8,
    )


async def some(subscription: Any, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await subscription.next_msg(timeout=5)


def soon_again(attempt: int) -> float:
    return 0.01 * attempt


async def test_a_handled_message_leaves_the_stream(bus: Bus, publisher: Publisher) -> None:
    broker, handler = bus.broker(), Handler()
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a", msg_id="cmd_1")
        await until(lambda: handler.payloads)
        await until(lambda: _empty(bus))
    assert handler.payloads == [load("m_a")]
    assert handler.deliveries == [Delivery(SUBJECT.name(), "cmd_1", 1, "gateway", utcnow())]


async def test_a_message_without_headers_is_handled_and_named_by_its_place(bus: Bus) -> None:
    broker, handler = bus.broker(), Handler()
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        await bus.js.publish(SUBJECT.name(), b'{"model_id": "m_a", "added_later": 1}')
        await until(lambda: handler.payloads)
    assert handler.deliveries == [Delivery(SUBJECT.name(), "COMMANDS-1", 1, None, utcnow())]


async def test_messages_are_handled_one_at_a_time_in_order(bus: Bus, publisher: Publisher) -> None:
    broker = bus.broker()
    at_once, most, order = 0, 0, []

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        order.append(payload.model_id)
        at_once -= 1

    consume(broker, SUBJECT, handle)
    names = [f"m_{number}" for number in range(20)]
    for name in names:
        await publisher.publish(SUBJECT, load(name), entity_id=name)
    async with bus.run(broker):
        await until(lambda: len(order) == len(names))
    assert order == names
    assert most == 1


@pytest.mark.parametrize(
    "passing",
    [
        ServiceUnavailable("The hub does not answer."),
        MiStudioError("busy", code=ErrorCode.INSUFFICIENT_MEMORY, transient=True),
        ConnectionResetError("reset"),
        TimeoutError("slow"),
    ],
)
async def test_a_transient_failure_is_tried_again_after_a_delay(
    bus: Bus, publisher: Publisher, passing: Exception
) -> None:
    broker, handler = bus.broker(), Handler(passing, passing)
    asked: list[int] = []

    def delay(attempt: int) -> float:
        asked.append(attempt)
        return 0.05

    consume(broker, SUBJECT, handler, on_give_up=handler.give_up, delay=delay)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one", msg_id="cmd_1")
        await until(lambda: len(handler.deliveries) == 3)
        await until(lambda: _empty(bus))
    assert [each.attempt for each in handler.deliveries] == [1, 2, 3]
    assert {each.message_id for each in handler.deliveries} == {"cmd_1"}
    assert asked == [1, 2]
    assert handler.given_up == []
    assert await bus.left("DEAD") == 0


@pytest.mark.parametrize("subject", [subjects.WORK_PREPARE, subjects.WORK_PLACE])
async def test_a_load_is_tried_again_three_times_and_each_time_said_why(
    bus: Bus, publisher: Publisher, subject: subjects.Subject
) -> None:
    broker = bus.broker("loader")
    given_up: list[str] = []
    attempts: list[int] = []

    async def handle(order: Any, delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise ServiceUnavailable("The hub does not answer.")

    async def give_up(order: Any, error: MiStudioError, delivery: Delivery) -> None:
        given_up.append(error.message)

    consume(
        broker,
        subject,
        handle,
        on_give_up=give_up,
        retries=LOAD_RETRIES,
        delay=soon_again,
        on_retry=tell_load_retry(Publisher(broker, "loader")),
    )
    told = await bus.client.subscribe(subjects.LIVE_LOAD.name())
    await bus.client.flush()
    async with bus.run(broker):
        await publisher.publish(subject, order_of(subject), entity_id="m_a")
        await until(lambda: given_up)
    reports = [LoadProgressedReport.model_validate_json(each.data) async for each in some(told, 3)]
    assert attempts == [1, 2, 3, 4]
    assert [(each.task_id, each.retry) for each in reports] == [("task_1", n) for n in (1, 2, 3)]
    assert reports[1].message == "Trying again (2 of 3) in 0.02 s: The hub does not answer."


async def test_a_load_whose_failure_will_not_pass_is_not_tried_again(
    bus: Bus, publisher: Publisher
) -> None:
    broker, handler = bus.broker("loader"), Handler(ModelLoadFailed("There are no weights."))
    retries: list[float] = []

    async def note(order: Any, error: MiStudioError, delivery: Delivery, pause: float) -> None:
        retries.append(pause)

    consume(broker, SUBJECT, handler, on_give_up=handler.give_up, on_retry=note)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await until(lambda: handler.given_up)
    assert (len(handler.deliveries), retries) == (1, [])


async def test_a_retry_that_cannot_be_told_is_made_all_the_same(
    bus: Bus, publisher: Publisher
) -> None:
    broker, handler = bus.broker(), Handler(ServiceUnavailable("busy"))

    async def silent(order: Any, error: MiStudioError, delivery: Delivery, pause: float) -> None:
        raise RuntimeError("nobody listens")

    consume(broker, SUBJECT, handler, delay=soon_again, on_retry=silent)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await until(lambda: len(handler.deliveries) == 2)


async def test_the_delay_is_the_servers_to_keep(bus: Bus, publisher: Publisher) -> None:
    broker, handler = bus.broker(), Handler(ConnectionResetError())
    consume(broker, SUBJECT, handler, delay=lambda attempt: 600.0)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_late"), entity_id="m_late")
        await publisher.publish(SUBJECT, load("m_next"), entity_id="m_next")
        await until(lambda: len(handler.payloads) == 2)
        # The other's acknowledgement is under way still; the delayed one waits in the server.
        await until(lambda: _pending(bus, 1))
    assert [each.model_id for each in handler.payloads] == ["m_late", "m_next"]


def test_delays_grow_exponentially_up_to_a_minute() -> None:
    assert [retry_delay(attempt) for attempt in (1, 2, 3, 7, 20)] == [1.0, 2.0, 4.0, 60.0, 60.0]


async def test_when_retries_are_spent_it_is_given_up_and_kept_as_a_dead_letter(
    bus: Bus, publisher: Publisher
) -> None:
    failure = ServiceUnavailable("The hub does not answer.", reason="hub_down")
    broker, handler = bus.broker(), Handler(*[failure] * 9)
    consume(broker, SUBJECT, handler, on_give_up=handler.give_up, retries=2, delay=soon_again)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a", msg_id="cmd_1")
        letter = await bus.dead(SUBJECT)
        await until(lambda: _empty(bus))
    assert len(handler.deliveries) == 3
    assert handler.given_up == [failure]
    assert json.loads(letter.data) == json.loads(load("m_a").model_dump_json())
    assert letter.headers["mistudio-error-code"] == "SERVICE_UNAVAILABLE"
    assert letter.headers["mistudio-error-reason"] == "hub_down"
    assert letter.headers["mistudio-attempts"] == "3"
    assert letter.headers["mistudio-message-id"] == "cmd_1"
    assert letter.headers["mistudio-origin"] == f"COMMANDS:1:{SUBJECT.durable()}"
    assert letter.headers["ce-subject"] == "m_a"
    assert json.loads(letter.headers["mistudio-error"])["message"] == failure.message


async def test_a_permanent_failure_is_told_at_once_and_acknowledged(
    bus: Bus, publisher: Publisher
) -> None:
    failure = NotFound("There is no such model.", code=ErrorCode.MODEL_NOT_FOUND)
    broker, handler = bus.broker(), Handler(failure)
    consume(broker, SUBJECT, handler, on_give_up=handler.give_up)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await until(lambda: handler.given_up)
        await until(lambda: _empty(bus))
    assert handler.given_up == [failure]
    assert len(handler.deliveries) == 1
    assert await bus.left("DEAD") == 0


async def test_a_permanent_failure_that_nobody_is_told_of_is_kept(
    bus: Bus, publisher: Publisher
) -> None:
    broker, handler = bus.broker(), Handler(NotFound("no", code=ErrorCode.MODEL_NOT_FOUND))
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        letter = await bus.dead(SUBJECT)
        await until(lambda: _empty(bus))
    assert letter.headers["mistudio-error-code"] == "MODEL_NOT_FOUND"


async def test_an_unexpected_failure_is_not_tried_again_and_says_nothing_of_the_inside(
    bus: Bus, publisher: Publisher
) -> None:
    broker, handler = bus.broker(), Handler(KeyError("/srv/secret"))
    consume(broker, SUBJECT, handler, on_give_up=handler.give_up)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        letter = await bus.dead(SUBJECT)
        await until(lambda: _empty(bus))
    assert len(handler.deliveries) == 1
    [told] = handler.given_up
    assert told.code is ErrorCode.INTERNAL_ERROR
    assert "secret" not in told.message + str(told.details)
    assert letter.headers["mistudio-error-cause"] == "KeyError: '/srv/secret'"


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"\xff\x00 not json", None, "json_invalid"),
        (b"{}", None, "missing"),
        (b'{"model_id": "../etc"}', None, "string_pattern_mismatch"),
        (b'{"model_id": "m_a"}', {"ce-schemaversion": "2"}, "unknown_version"),
        (b'{"model_id": "m_a"}', {"ce-schemaversion": "one"}, "unknown_version"),
    ],
)
async def test_what_cannot_be_read_is_kept_as_it_came_and_ended(
    bus: Bus, body: bytes, headers: dict[str, str] | None, reason: str
) -> None:
    broker, handler = bus.broker(), Handler()
    consume(broker, SUBJECT, handler, on_give_up=handler.give_up)
    async with bus.run(broker):
        await bus.js.publish(SUBJECT.name(), body, headers=headers)
        letter = await bus.dead(SUBJECT)
        await until(lambda: _empty(bus))
    assert letter.data == body
    assert letter.headers["mistudio-error-reason"] == reason
    assert handler.payloads == []
    assert handler.given_up == []


async def test_a_version_with_a_minor_part_is_read(bus: Bus) -> None:
    broker, handler = bus.broker(), Handler()
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        headers = {"ce-schemaversion": "1.4"}
        await bus.js.publish(SUBJECT.name(), b'{"model_id": "m_a"}', headers=headers)
        await until(lambda: handler.payloads)


async def test_the_last_delivery_is_given_up_untried(bus: Bus, publisher: Publisher) -> None:
    await bus.set_limits(SUBJECT, ack_wait=0.3, max_deliver=2)
    await publisher.publish(SUBJECT, load(), entity_id="m_one")
    # A worker that takes the message and dies.
    pull = await bus.js.pull_subscribe_bind(SUBJECT.durable(), "COMMANDS")
    await pull.fetch(1)
    broker, handler = bus.broker(), Handler()
    consume(broker, SUBJECT, handler, on_give_up=handler.give_up)
    async with bus.run(broker):
        letter = await bus.dead(SUBJECT)
        await until(lambda: _empty(bus))
    assert handler.deliveries == [], "what ended its workers is not tried again"
    assert letter.headers["mistudio-error-reason"] == "max_deliveries"
    assert [each.details["reason"] for each in handler.given_up] == ["max_deliveries"]


async def test_giving_up_is_tried_until_it_works(bus: Bus, publisher: Publisher) -> None:
    broker, handler = bus.broker(), Handler(NotFound("no"))
    tries: list[int] = []

    async def give_up(payload: LoadModel, error: MiStudioError, delivery: Delivery) -> None:
        tries.append(delivery.attempt)
        if len(tries) < 3:
            raise ConnectionError("the database restarts")

    consume(broker, SUBJECT, handler, on_give_up=give_up)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await until(lambda: len(tries) == 3)
        await until(lambda: _empty(bus))
    assert tries == [1, 1, 1]


async def test_no_message_is_ended_without_a_copy(
    bus: Bus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mistudio_servicekit.worker.IN_PLACE_PAUSES", (0.0, 0.0))
    await bus.js.delete_stream("DEAD")
    broker, handler = bus.broker(), Handler(KeyError("x"), KeyError("x"))
    consume(broker, SUBJECT, handler, on_give_up=handler.give_up)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await until(lambda: handler.given_up)
        await until(lambda: _waits_in_the_server(bus))
    assert await bus.left("COMMANDS") == 1


async def test_heartbeats_keep_a_long_handler_from_being_run_twice(
    bus: Bus, publisher: Publisher
) -> None:
    await bus.set_limits(SUBJECT, ack_wait=0.6)
    brokers = [bus.broker(), bus.broker()]
    runs: list[Delivery] = []
    release = asyncio.Event()

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        runs.append(delivery)
        await release.wait()

    for broker in brokers:
        consume(broker, SUBJECT, handle)
    async with bus.run(brokers[0]), bus.run(brokers[1]):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await until(lambda: runs)
        # Another message's way through ack_wait, five times over, is the clock.
        await _let_pass(bus, 3.0)
        assert len(runs) == 1
        release.set()
        await until(lambda: _empty(bus))
    assert [each.attempt for each in runs] == [1]


async def test_a_handler_that_raises_leaves_no_task_behind(bus: Bus, publisher: Publisher) -> None:
    broker, handler = bus.broker(), Handler(*[KeyError("x")] * 5)
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await until(lambda: _count(bus, "DEAD", 1))
        await until(lambda: _empty(bus))
        before = _beats()
        for number in range(4):
            await publisher.publish(SUBJECT, load(), entity_id=str(number))
        await until(lambda: _count(bus, "DEAD", 5))
        await until(lambda: _empty(bus))
        assert _beats() == before == 0


async def test_a_cancellation_inside_a_handler_does_not_end_the_subscriber(
    bus: Bus, publisher: Publisher
) -> None:
    broker, handler = bus.broker(), Handler(asyncio.CancelledError())
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await bus.dead(SUBJECT)
        await publisher.publish(SUBJECT, load("m_b"), entity_id="m_b")
        await until(lambda: len(handler.payloads) == 2)
        await until(lambda: _empty(bus))


async def test_two_publications_with_one_id_are_one_message(bus: Bus, publisher: Publisher) -> None:
    broker, handler = bus.broker(), Handler()
    consume(broker, SUBJECT, handler)
    first = await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a", msg_id="cmd_1")
    again = await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a", msg_id="cmd_1")
    async with bus.run(broker):
        await until(lambda: handler.payloads)
        await until(lambda: _empty(bus))
    assert first == again == 1
    assert len(handler.payloads) == 1


async def test_every_outcome_is_counted(bus: Bus, publisher: Publisher) -> None:
    from mistudio_servicekit.telemetry import render_metrics

    broker, handler = bus.broker(), Handler(NotFound("no"), ConnectionError())
    consume(broker, SUBJECT, handler, on_give_up=handler.give_up, delay=soon_again)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await until(lambda: len(handler.deliveries) == 3)
        await until(lambda: _empty(bus))
    text = render_metrics(broker).decode()
    for outcome in ("refused", "retried", "ok"):
        line = f'outcome="{outcome}",subject="model.load.requested"}} 1.0'
        assert f"mistudio_messages_handled_total{{{line}" in text


def test_a_subject_that_no_stream_keeps_is_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="not kept in a stream"):
        consume(bus.broker(), subjects.LIVE_LOAD, Handler())


async def _empty(bus: Bus) -> bool:
    return await bus.left("COMMANDS") == 0


async def _pending(bus: Bus, number: int) -> bool:
    info = await bus.js.consumer_info("COMMANDS", SUBJECT.durable())
    return info.num_ack_pending == number


async def _count(bus: Bus, stream: str, number: int) -> bool:
    return await bus.left(stream) == number


async def _waits_in_the_server(bus: Bus) -> bool:
    info = await bus.js.consumer_info("COMMANDS", SUBJECT.durable())
    return bool(info.num_ack_pending == 1 and info.num_waiting == 1)


def _beats() -> int:
    return sum("_in_progress" in repr(task) for task in asyncio.all_tasks())


async def _let_pass(bus: Bus, seconds: float) -> None:
    """Let the server's clock go on: until a message of this age was dropped by it."""
    from nats.js.api import StreamConfig

    await bus.js.add_stream(StreamConfig(name="CLOCK", subjects=["clock"], max_age=seconds))
    await bus.js.publish("clock", b"")

    async def struck() -> bool:
        return await bus.left("CLOCK") == 0

    await soon(until(struck))
