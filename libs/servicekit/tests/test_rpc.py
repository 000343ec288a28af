"""Request and reply: results, errors as themselves, and silence."""

import asyncio
from typing import Any

import pytest

from mistudio_contracts import rpc as messages
from mistudio_contracts import subjects, views
from mistudio_contracts.errors import (
    ErrorCode,
    InvalidInput,
    MiStudioError,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    ServiceUnavailable,
)
from mistudio_servicekit.rpc import call, serve

from .conftest import Bus, until

SUBJECT = subjects.RPC_CACHE_EVICT
REQUEST = messages.EvictCacheRequest(cache_id="act_1")


async def test_a_request_is_answered_with_the_subjects_reply(bus: Bus) -> None:
    broker = bus.broker()
    asked: list[messages.EvictCacheRequest] = []

    async def evict(request: messages.EvictCacheRequest) -> messages.Done:
        asked.append(request)
        return messages.Done()

    serve(broker, SUBJECT, evict)
    async with bus.run(broker):
        answer = await call(broker, SUBJECT, REQUEST)
    assert answer == messages.Done()
    assert asked == [REQUEST]


@pytest.mark.parametrize(
    "error",
    [
        NotFound("No such cache.", code=ErrorCode.CACHE_NOT_FOUND, field="cache_id", reason="gone"),
        RateLimited("Too many.", retry_after_seconds=12),
    ],
)
async def test_an_error_of_the_contract_arrives_as_itself(bus: Bus, error: MiStudioError) -> None:
    broker = bus.broker()

    async def evict(request: Any) -> messages.Done:
        raise error

    serve(broker, SUBJECT, evict)
    async with bus.run(broker):
        with pytest.raises(type(error)) as caught:
            await call(broker, SUBJECT, REQUEST)
    assert caught.value.body().model_dump(exclude={"timestamp"}) == error.body().model_dump(
        exclude={"timestamp"}
    )


async def test_an_invalid_request_is_answered_with_the_field(bus: Bus) -> None:
    broker = bus.broker()

    async def evict(request: Any) -> messages.Done:
        raise AssertionError("never called")

    serve(broker, SUBJECT, evict)
    async with bus.run(broker):
        raw = await bus.client.request(SUBJECT.name(), b'{"cache_id": "../x"}', timeout=5)
        reply = messages.Reply[messages.Done].model_validate_json(raw.data)
        with pytest.raises(InvalidInput) as caught:
            reply.unwrap()
    assert caught.value.details["field"] == "cache_id"
    assert caught.value.details["reason"] == "string_pattern_mismatch"


async def test_an_unexpected_error_is_answered_without_its_inside(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    broker = bus.broker()

    async def evict(request: Any) -> messages.Done:
        raise ZeroDivisionError("secret path")

    serve(broker, SUBJECT, evict)
    async with bus.run(broker):
        with pytest.raises(MiStudioError) as caught:
            await call(broker, SUBJECT, REQUEST)
    assert caught.value.code is ErrorCode.INTERNAL_ERROR
    assert "secret" not in caught.value.message + str(caught.value.details)
    assert "ZeroDivisionError" in caplog.text


async def test_a_handler_that_returns_something_else_is_an_error(bus: Bus) -> None:
    broker = bus.broker()

    async def evict(request: Any) -> Any:
        return messages.DeviceOrders()

    serve(broker, SUBJECT, evict)
    async with bus.run(broker):
        with pytest.raises(MiStudioError) as caught:
            await call(broker, SUBJECT, REQUEST)
    assert caught.value.code is ErrorCode.INTERNAL_ERROR


async def test_nobody_there_is_known_at_once(bus: Bus) -> None:
    broker = bus.broker()
    async with bus.run(broker):
        with pytest.raises(ServiceUnavailable) as caught:
            await call(broker, SUBJECT, REQUEST, timeout=60)
    assert caught.value.details["reason"] == "nobody_there"
    assert caught.value.details["service"] == "catalog"


async def test_no_answer_in_time(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mistudio_servicekit.bus.HANDLER_GRACE", 0.1)
    broker = bus.broker()

    async def evict(request: Any) -> messages.Done:
        await asyncio.Event().wait()
        return messages.Done()

    serve(broker, SUBJECT, evict)
    async with bus.run(broker):
        with pytest.raises(ServiceUnavailable) as caught:
            await call(broker, SUBJECT, REQUEST, timeout=0.1)
    assert caught.value.details["reason"] == "timeout"


async def test_a_connection_that_is_not_open(bus: Bus) -> None:
    with pytest.raises(ServiceUnavailable) as caught:
        await call(bus.broker(), SUBJECT, REQUEST)
    assert caught.value.details["reason"] == "bus_unavailable"


async def test_a_reply_beyond_the_servers_limit_is_an_error_not_silence(bus: Bus) -> None:
    broker = bus.broker()

    async def read(request: Any) -> messages.FileChunk:
        return messages.FileChunk(data="x" * 9_000_000, total_bytes=9_000_000, eof=True)

    serve(broker, subjects.RPC_STORE_READ, read)
    request = messages.ReadStoreFileRequest(store_key="a" * 32, path="manifest.json")
    async with bus.run(broker):
        with pytest.raises(PayloadTooLarge) as caught:
            await call(broker, subjects.RPC_STORE_READ, request)
    assert caught.value.details["reason"] == "reply_too_large"


async def test_a_large_page_fits(bus: Bus) -> None:
    broker = bus.broker()

    async def read(request: Any) -> messages.FileChunk:
        return messages.FileChunk(data="x" * 4_000_000, total_bytes=4_000_000, eof=True)

    serve(broker, subjects.RPC_STORE_READ, read, pool="gpu")
    request = messages.ReadStoreFileRequest(store_key="a" * 32, path="manifest.json")
    async with bus.run(broker):
        answer = await call(broker, subjects.RPC_STORE_READ, request, pool="gpu")
    assert isinstance(answer, messages.FileChunk)
    assert len(answer.data) == 4_000_000


async def test_a_slow_request_does_not_hold_up_the_others(bus: Bus) -> None:
    broker = bus.broker()
    release = asyncio.Event()

    async def show(request: messages.GetModelRequest) -> views.Model:
        if request.model_id == "m_slow":
            await release.wait()
        raise NotFound("no", code=ErrorCode.MODEL_NOT_FOUND)

    serve(broker, subjects.RPC_MODEL_GET, show)
    async with bus.run(broker):
        slow = asyncio.create_task(
            call(broker, subjects.RPC_MODEL_GET, messages.GetModelRequest(model_id="m_slow"))
        )
        with pytest.raises(NotFound):
            await call(broker, subjects.RPC_MODEL_GET, messages.GetModelRequest(model_id="m_a"))
        assert not slow.done()
        release.set()
        with pytest.raises(NotFound):
            await slow


async def test_of_two_replicas_one_answers(bus: Bus) -> None:
    brokers = [bus.broker(), bus.broker()]
    answered: list[int] = []

    def serve_on(number: int) -> None:
        async def evict(request: Any) -> messages.Done:
            answered.append(number)
            return messages.Done()

        serve(brokers[number], SUBJECT, evict)

    serve_on(0)
    serve_on(1)
    async with bus.run(brokers[0]), bus.run(brokers[1]):
        for _ in range(20):
            await call(brokers[0], SUBJECT, REQUEST)
    assert len(answered) == 20


async def test_a_replica_that_stops_answers_what_it_has_and_gets_no_more(bus: Bus) -> None:
    leaving, staying, asking = bus.broker(), bus.broker(), bus.broker("gateway")
    got: list[str] = []
    stop = asyncio.Event()

    def serve_on(name: str, broker: Any) -> None:
        async def evict(request: Any) -> messages.Done:
            got.append(name)
            return messages.Done()

        serve(broker, SUBJECT, evict)

    serve_on("leaving", leaving)
    serve_on("staying", staying)

    async def ask() -> None:
        while not stop.is_set():
            await call(asking, SUBJECT, REQUEST)

    async with bus.run(staying), bus.run(asking, "gateway"):
        async with bus.run(leaving):
            asks = [asyncio.create_task(ask()) for _ in range(8)]
            await until(lambda: {"leaving", "staying"} <= set(got))
        count = got.count("leaving")
        before = len(got)
        await until(lambda: len(got) > before + 50)
        stop.set()
        await asyncio.gather(*asks)
    assert got.count("leaving") == count
