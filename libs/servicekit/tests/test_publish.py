"""Publishing: headers, confirmation, and what a failure says."""

import asyncio

import pytest

from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts import events, subjects
from mistudio_contracts.errors import PayloadTooLarge, ServiceUnavailable
from mistudio_contracts.reports import LoadProgressedReport
from mistudio_contracts.states import LoadStage
from mistudio_servicekit import bus as bus_module
from mistudio_servicekit.bus import Publisher, create_broker, settled
from mistudio_servicekit.settings import ServiceSettings

from .conftest import Bus, load, soon, until


async def test_a_kept_message_has_its_headers_and_returns_its_sequence(
    bus: Bus, publisher: Publisher
) -> None:
    event = events.ModelDeleted(model_id="m_a")
    assert await publisher.publish(subjects.MODEL_DELETED, event, entity_id="m_a") == 1
    assert (
        await publisher.publish(subjects.MODEL_DELETED, event, entity_id="m_a", msg_id="evt_2") == 2
    )
    kept = await bus.js.get_last_msg("EVENTS", "model.deleted")
    headers = kept.headers or {}
    assert events.ModelDeleted.model_validate_json(kept.data or b"") == event
    assert headers["content-type"] == "application/json"
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-id"] == headers["Nats-Msg-Id"] == "evt_2"
    assert headers["ce-type"] == "model.deleted"
    assert headers["ce-source"] == "gateway"
    assert headers["ce-subject"] == "m_a"
    assert headers["ce-schemaversion"] == "1"
    assert headers["ce-time"].endswith("+00:00")
    assert headers["traceparent"].startswith("00-")


async def test_live_messages_are_not_confirmed(bus: Bus, publisher: Publisher) -> None:
    heard = await bus.client.subscribe("live.model.load")
    await settled(bus.client)
    report = LoadProgressedReport(
        task_id="task_1", model_id="m_a", stage=LoadStage.PLACING, progress=90
    )
    assert await publisher.publish(subjects.LIVE_LOAD, report, entity_id="m_a") is None
    message = await heard.next_msg(5)
    assert LoadProgressedReport.model_validate_json(message.data) == report


async def test_the_wrong_payload_is_refused(publisher: Publisher) -> None:
    with pytest.raises(TypeError, match="carries ModelDeleted"):
        await publisher.publish(subjects.MODEL_DELETED, load(), entity_id="m_a")


async def test_an_entity_id_cannot_forge_a_header(bus: Bus, publisher: Publisher) -> None:
    await publisher.publish(subjects.MODEL_LOAD, load(), entity_id="m_a\r\nce-source: root")
    kept = await bus.js.get_last_msg("COMMANDS", "model.load.requested")
    assert (kept.headers or {})["ce-source"] == "gateway"


async def test_without_a_stream_nothing_is_lost_in_silence(empty_server: NatsServer) -> None:
    broker = create_broker(ServiceSettings(nats_url=empty_server.url), "gateway")
    await broker.connect()
    with pytest.raises(ServiceUnavailable) as caught:
        await Publisher(broker, "gateway").publish(subjects.MODEL_LOAD, load(), entity_id="m_a")
    assert caught.value.details["reason"] == "not_provisioned"
    assert caught.value.transient
    await broker.stop()


async def test_a_full_stream_refuses(bus: Bus, publisher: Publisher) -> None:
    config = (await bus.js.stream_info("COMMANDS")).config
    await bus.js.update_stream(config.evolve(max_msgs=1))
    await publisher.publish(subjects.MODEL_LOAD, load(), entity_id="m_a")
    with pytest.raises(ServiceUnavailable, match="maximum messages exceeded") as caught:
        await publisher.publish(subjects.MODEL_LOAD, load(), entity_id="m_a")
    assert caught.value.details["reason"] == "refused_by_stream"


async def test_a_message_beyond_the_servers_limit(bus: Bus, publisher: Publisher) -> None:
    event = events.ModelUnloaded(model_id="m_a", status="unloaded", reason="x" * 9_000_000)
    with pytest.raises(PayloadTooLarge):
        await publisher.publish(subjects.MODEL_UNLOADED, event, entity_id="m_a")


async def test_a_server_that_is_away_means_not_confirmed_and_the_same_id_repairs_it(
    server: NatsServer, bus: Bus, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "PUBLISH_TIMEOUT", 0.3)
    publish = publisher.publish
    server.kill()
    with pytest.raises(ServiceUnavailable) as caught:
        await publish(subjects.MODEL_LOAD, load(), entity_id="m_a", msg_id="cmd_1")
    assert caught.value.details["reason"] == "not_confirmed"
    server.start()

    async def again() -> bool:
        try:
            await publish(subjects.MODEL_LOAD, load(), entity_id="m_a", msg_id="cmd_1")
        except ServiceUnavailable:
            return False
        return True

    await until(again)
    assert await bus.left("COMMANDS") == 1


async def test_the_connection_has_its_own_inbox_and_name(bus: Bus) -> None:
    broker = bus.broker("loader")
    client = await broker.connect()
    assert client.new_inbox().startswith("_INBOX_loader.")
    answering = await bus.client.subscribe("echo")
    await settled(bus.client)

    async def echo() -> str:
        message = await answering.next_msg(5)
        await message.respond(b"")
        return str(message.reply)

    replying = asyncio.create_task(echo())
    await client.request("echo", b"", timeout=5)
    assert (await soon(replying)).startswith("_INBOX_loader.")
    await broker.stop()


async def test_a_first_connect_waits_for_the_server(server: NatsServer) -> None:
    server.stop()
    broker = create_broker(ServiceSettings(nats_url=server.url), "gateway")
    connecting = asyncio.create_task(broker.connect())
    await asyncio.sleep(0)
    server.start()
    client = await soon(connecting)
    assert client.is_connected
    await broker.stop()
