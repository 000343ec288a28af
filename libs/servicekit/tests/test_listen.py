"""Live and control subjects: in order, shared or heard by all, at most once."""

from functools import partial
from typing import Any

import pytest

from mistudio_contracts import subjects
from mistudio_contracts.rpc import CancelWork, ReleaseModel
from mistudio_servicekit.bus import Publisher, settled
from mistudio_servicekit.consume import listen

from .conftest import Bus, load, until

RELEASE = subjects.CONTROL_RELEASE


def release(model_id: str = "m_a") -> ReleaseModel:
    return ReleaseModel(model_id=model_id, task_id="task_1")


async def test_a_broadcast_is_heard_by_every_process(bus: Bus, publisher: Publisher) -> None:
    brokers = [bus.broker("extractor"), bus.broker("extractor")]
    heard: list[int] = []

    def listen_on(number: int) -> None:
        async def hear(payload: ReleaseModel) -> None:
            heard.append(number)

        listen(brokers[number], RELEASE, hear, shared=False)

    listen_on(0)
    listen_on(1)
    async with bus.run(brokers[0]), bus.run(brokers[1]):
        await publisher.publish(RELEASE, release(), entity_id="m_a")
        await until(lambda: sorted(heard) == [0, 1])


async def test_a_shared_one_is_heard_once_and_in_order(bus: Bus, publisher: Publisher) -> None:
    brokers = [bus.broker(), bus.broker()]
    heard: list[tuple[int, str]] = []

    def listen_on(number: int) -> None:
        async def hear(payload: ReleaseModel) -> None:
            heard.append((number, payload.model_id))

        listen(brokers[number], RELEASE, hear, shared=True)

    listen_on(0)
    listen_on(1)
    names = [f"m_{number:03}" for number in range(100)]
    async with bus.run(brokers[0]), bus.run(brokers[1]):
        for name in names:
            await publisher.publish(RELEASE, release(name), entity_id=name)
        await until(lambda: len(heard) == len(names))
    assert sorted(name for _, name in heard) == names
    for number in range(2):
        own = [name for who, name in heard if who == number]
        assert own == sorted(own)


async def test_a_pool_hears_its_own(bus: Bus, publisher: Publisher) -> None:
    broker = bus.broker("extractor")
    heard: list[CancelWork] = []

    async def hear(payload: CancelWork) -> None:
        heard.append(payload)

    listen(broker, subjects.CONTROL_CANCEL, hear, pool="lab", shared=False)
    async with bus.run(broker):
        for pool, task in (("default", "task_1"), ("lab", "task_2")):
            await publisher.publish(
                subjects.CONTROL_CANCEL, CancelWork(task_ids=[task]), entity_id="", pool=pool
            )
        await until(lambda: heard)
    assert heard == [CancelWork(task_ids=["task_2"])]


async def test_what_fails_or_cannot_be_read_does_not_stop_the_rest(
    bus: Bus, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    broker = bus.broker("extractor")
    heard: list[str] = []

    async def hear(payload: ReleaseModel) -> None:
        heard.append(payload.model_id)
        if payload.model_id == "m_bad":
            raise ZeroDivisionError

    listen(broker, RELEASE, hear, shared=False)
    async with bus.run(broker):
        await publisher.publish(RELEASE, release("m_bad"), entity_id="m_bad")
        await bus.client.publish(RELEASE.name(), b"not json")
        await settled(bus.client)
        await publisher.publish(RELEASE, release("m_good"), entity_id="m_good")
        await until(lambda: heard == ["m_bad", "m_good"])
    assert "ZeroDivisionError" in caplog.text
    assert "not understood" in caplog.text


def test_a_subject_that_a_stream_keeps_is_refused(bus: Bus) -> None:
    async def hear(payload: Any) -> None:
        raise AssertionError(load())

    with pytest.raises(ValueError, match="use consume"):
        listen(bus.broker(), subjects.MODEL_LOAD, hear, shared=True)


async def test_what_is_published_right_after_the_start_is_heard(bus: Bus) -> None:
    other = bus.broker("catalog")
    await other.connect()
    publisher = Publisher(other, "catalog")
    for number in range(20):
        broker = bus.broker("extractor")
        heard: list[str] = []

        async def hear(payload: ReleaseModel, heard: list[str] = heard) -> None:
            heard.append(payload.model_id)

        listen(broker, RELEASE, hear, shared=False)
        async with bus.run(broker):
            await publisher.publish(RELEASE, release(f"m_{number}"), entity_id="")
            await until(partial(bool, heard))
    await other.stop()
