"""The server dies, consumers are deleted, workers leave: nothing is lost, nothing spins."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from nats.aio.msg import Msg

from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts import subjects
from mistudio_contracts.commands import LoadModel
from mistudio_servicekit import lifecycle
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import Publisher, connection_of
from mistudio_servicekit.consume import Delivery, consume
from mistudio_servicekit.durable import DurableSubscriber, durables_of
from mistudio_servicekit.lifecycle import Life, alive
from mistudio_servicekit.testing import running

from .conftest import Bus, load, until

SUBJECT = subjects.MODEL_LOAD

pytestmark = pytest.mark.faults


class Seen:
    """Remembers what came, by model."""

    def __init__(self) -> None:
        self.models: list[str] = []

    async def __call__(self, payload: LoadModel, delivery: Delivery) -> None:
        self.models.append(payload.model_id)


async def test_a_killed_server_loses_nothing_and_consumers_go_on(
    server: NatsServer, bus: Bus, publisher: Publisher
) -> None:
    broker, seen = bus.broker(), Seen()
    consume(broker, SUBJECT, seen)
    async with bus.run(broker) as life:
        await publisher.publish(SUBJECT, load("m_before"), entity_id="m_before")
        await until(lambda: seen.models == ["m_before"])
        for round_ in range(2):
            kept = f"m_kept_{round_}"
            sequence = await publisher.publish(SUBJECT, load(kept), entity_id=kept)
            assert sequence, "confirmed, so kept"
            server.kill()
            await until(lambda: _not_ready(life))
            server.start()
            await until(partial(_came, seen, kept))
            await until(lambda: _ready(life))
        await publisher.publish(SUBJECT, load("m_after"), entity_id="m_after")
        await until(lambda: "m_after" in seen.models)
        await until(lambda: _empty(bus))
    assert life.failure is None


async def test_a_handler_outlives_the_servers_restart(
    server: NatsServer, bus: Bus, publisher: Publisher
) -> None:
    await bus.set_limits(SUBJECT, ack_wait=60.0)
    broker = bus.broker()
    started, release, runs = asyncio.Event(), asyncio.Event(), []

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        runs.append(delivery.attempt)
        started.set()
        await release.wait()

    consume(broker, SUBJECT, handle)
    async with bus.run(broker) as life:
        await publisher.publish(SUBJECT, load(), entity_id="m_one")
        await started.wait()
        # Killed, it may forget the delivery itself: it syncs messages, not what was delivered.
        server.stop()
        await until(lambda: _not_ready(life))
        server.start()
        await until(lambda: _ready(life))
        release.set()
        await until(lambda: _empty(bus))
    assert runs == [1], "its acknowledgement counts for the server that came back"


async def test_while_disconnected_no_requests_pile_up(
    server: NatsServer, bus: Bus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Piled-up requests would hand several messages at once to a worker that runs one.
    monkeypatch.setattr("mistudio_servicekit.durable.FETCH_SECONDS", 0.2)
    monkeypatch.setattr("mistudio_servicekit.durable.ANSWER_SLACK", 0.1)
    broker = bus.broker()
    release, running_now = asyncio.Event(), []

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        running_now.append(payload.model_id)
        await release.wait()

    consume(broker, SUBJECT, handle)
    [subscriber] = durables_of(broker)
    waits, fetches = _counted(monkeypatch, subscriber)
    async with bus.run(broker) as life:
        server.kill()
        await until(lambda: _not_ready(life))
        before = len(waits), len(fetches)
        await until(lambda: len(waits) > before[0] + 10)
        assert len(fetches) <= before[1] + 1
        server.start()
        await until(lambda: _ready(life))
        for number in range(5):
            await publisher.publish(SUBJECT, load(f"m_{number}"), entity_id=str(number))
        await until(lambda: running_now)
        info = await bus.js.consumer_info("COMMANDS", SUBJECT.durable())
        assert info.num_ack_pending == 1, "the others wait in the server"
        release.set()
        await until(lambda: _empty(bus))


async def test_a_deleted_consumer_makes_the_service_unready_and_ends_it(bus: Bus) -> None:
    broker = bus.broker()
    consume(broker, SUBJECT, Seen())
    life = Life(ServiceApp("catalog", broker), watch_every=0.05)
    async with alive(life):
        assert all((await life.readiness()).values())
        await bus.js.delete_consumer("COMMANDS", SUBJECT.durable())
        await asyncio.wait_for(life.failed.wait(), 20)
        assert not (await life.readiness())["consumers"]
    assert SUBJECT.durable() in str(life.failure)
    with pytest.raises(Exception, match="not found"):
        await bus.js.consumer_info("COMMANDS", SUBJECT.durable())


async def test_a_consumer_that_is_not_there_at_the_start_is_waited_for_and_never_made(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "PROVISION_SECONDS", 0.0)
    await bus.js.delete_consumer("COMMANDS", SUBJECT.durable())
    broker = bus.broker()
    consume(broker, SUBJECT, Seen())
    with pytest.raises(Exception, match="no such consumer"):
        async with bus.run(broker):
            pass
    with pytest.raises(Exception, match="not found"):
        await bus.js.consumer_info("COMMANDS", SUBJECT.durable())


async def test_a_changed_ack_wait_reaches_the_running_subscriber(bus: Bus) -> None:
    broker = bus.broker()
    consume(broker, SUBJECT, Seen())
    life = Life(ServiceApp("catalog", broker), watch_every=0.05)
    async with alive(life):
        [subscriber] = durables_of(broker)
        assert subscriber.ack_wait == 15.0
        await bus.set_limits(SUBJECT, ack_wait=33.0)
        await until(lambda: subscriber.ack_wait == 33.0)


async def test_a_handler_gets_its_time_at_shutdown(bus: Bus, publisher: Publisher) -> None:
    broker = bus.broker()
    started, release, done = asyncio.Event(), asyncio.Event(), []

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        started.set()
        await release.wait()
        done.append(payload.model_id)

    async def let_go() -> None:
        await until(lambda: not broker.subscribers[0].running)
        release.set()

    consume(broker, SUBJECT, handle)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await publisher.publish(SUBJECT, load("m_b"), entity_id="m_b")
        await started.wait()
        releasing = asyncio.create_task(let_go())
    await releasing
    assert done == ["m_a"]
    assert await bus.left("COMMANDS") == 1, "no new message was taken"


async def test_a_handler_that_takes_too_long_is_cancelled_and_another_gets_the_message(
    bus: Bus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mistudio_servicekit.bus.HANDLER_GRACE", 0.1)
    await bus.set_limits(SUBJECT, ack_wait=300.0)
    leaving, other = bus.broker(), bus.broker()
    started, cancelled, seen = asyncio.Event(), asyncio.Event(), Seen()

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    consume(leaving, SUBJECT, handle)
    consume(other, SUBJECT, seen)
    async with bus.run(leaving):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await started.wait()
    assert cancelled.is_set()
    async with bus.run(other):
        await until(lambda: seen.models == ["m_a"])


async def test_a_connection_closed_for_good_is_told(bus: Bus) -> None:
    broker = bus.broker()
    consume(broker, SUBJECT, Seen())
    async with running(ServiceApp("catalog", broker)) as life:
        await (await broker.connect()).close()
        await asyncio.wait_for(life.failed.wait(), 20)
    assert "for good" in str(life.failure)


async def test_a_server_that_is_full_when_it_comes_back_is_waited_for(
    server: NatsServer, bus: Bus, publisher: Publisher
) -> None:
    broker, seen = bus.broker(), Seen()
    consume(broker, SUBJECT, seen)
    async with bus.run(broker) as life:
        server.kill()
        await until(lambda: _not_ready(life))
        refused = asyncio.Event()
        async with await asyncio.start_server(_full(refused), "127.0.0.1", server.port):
            await asyncio.wait_for(refused.wait(), 20)
        server.start()
        await until(lambda: _ready(life))
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await until(partial(_came, seen, "m_a"))
        assert life.failure is None


async def test_an_ordinary_stop_is_not_taken_for_a_loss(bus: Bus) -> None:
    broker = bus.broker()
    lost = []
    async with bus.run(broker):
        connection_of(broker).lost = lambda: lost.append(True)
    assert lost == []


async def _ready(life: Life) -> bool:
    return all((await life.readiness()).values())


async def _not_ready(life: Life) -> bool:
    return not await _ready(life)


def _full(refused: asyncio.Event) -> Callable[..., Awaitable[None]]:
    """Speak as a server that takes no more connections."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","max_payload":1048576,"headers":true}\r\n')
        mine = b"mistudio-catalog" in await reader.readline()
        writer.write(b"-ERR 'maximum connections exceeded'\r\n")
        await writer.drain()
        writer.close()
        if mine:
            refused.set()

    return speak


def _came(seen: Seen, model_id: str) -> bool:
    return model_id in seen.models


async def _empty(bus: Bus) -> bool:
    return await bus.left("COMMANDS") == 0


def _counted(
    monkeypatch: pytest.MonkeyPatch, subscriber: DurableSubscriber
) -> tuple[list[None], list[None]]:
    """Count a subscriber's rounds, and the requests it makes of the server."""
    rounds: list[None] = []
    fetches: list[None] = []
    over, fetch = subscriber._over, subscriber._fetch

    def counted_over() -> bool:
        rounds.append(None)
        return over()

    async def counted_fetch() -> Msg | None:
        fetches.append(None)
        return await fetch()

    monkeypatch.setattr(subscriber, "_over", counted_over)
    monkeypatch.setattr(subscriber, "_fetch", counted_fetch)
    return rounds, fetches
