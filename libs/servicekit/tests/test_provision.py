"""Provisioning makes the server be as declared, again and again."""

import asyncio
import json
import sys
from dataclasses import replace

import nats
import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError

from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts import topology
from mistudio_contracts.errors import MiStudioError, ServiceUnavailable
from mistudio_servicekit import provision as module
from mistudio_servicekit.bus import servers_of
from mistudio_servicekit.provision import provision

from .conftest import Bus


async def test_everything_declared_is_there_with_its_limits(bus: Bus) -> None:
    for spec in topology.streams():
        config = (await bus.js.stream_info(spec.name)).config
        assert config.subjects == list(spec.subjects)
        assert config.retention == spec.retention
        assert config.storage == spec.storage
        assert config.discard == spec.discard
        assert config.max_age == spec.max_age
        assert config.max_bytes == spec.max_bytes
        assert config.duplicate_window == spec.duplicate_window
    for consumer in topology.consumers():
        made = (await bus.js.consumer_info(consumer.stream, consumer.name)).config
        assert made.durable_name == consumer.name
        assert made.filter_subject == consumer.subject
        assert made.ack_policy == "explicit"
        assert made.ack_wait == consumer.ack_wait
        assert made.max_deliver == consumer.max_deliver
        assert made.max_ack_pending == consumer.max_ack_pending
        assert made.max_waiting == consumer.max_waiting
    bucket = (await bus.js.stream_info(f"OBJ_{topology.UPLOADS_BUCKET}")).config
    assert bucket.max_bytes == topology.UPLOADS_MAX_BYTES
    assert bucket.max_age == topology.UPLOADS_MAX_AGE


async def test_no_stream_and_no_consumer_is_without_bounds(bus: Bus) -> None:
    """Whatever the server keeps, declared by us or made by a library."""
    kept = await bus.js.streams_info()
    assert {info.config.name for info in kept} == {
        *(spec.name for spec in topology.streams()),
        f"OBJ_{topology.UPLOADS_BUCKET}",
    }
    for info in kept:
        config = info.config
        assert 0 < config.max_bytes <= topology.UPLOADS_MAX_BYTES, config.name
        # What nobody may lose is refused when it is full; what has an age may leave before it.
        assert config.discard == "new" or config.max_age > 0, config.name
        assert config.retention == "workqueue" or config.max_age > 0, config.name
        for consumer in await bus.js.consumers_info(config.name):
            bounds = consumer.config
            assert bounds.ack_policy == "explicit", consumer.name
            for bound in (bounds.max_deliver, bounds.max_ack_pending, bounds.max_waiting):
                assert 0 < bound <= 10_000, consumer.name


async def test_what_is_full_refuses_or_lets_the_oldest_go(bus: Bus) -> None:
    for name, subject in (("COMMANDS", "model.load.requested"), ("EVENTS", "model.deleted")):
        config = (await bus.js.stream_info(name)).config
        await bus.js.update_stream(config.evolve(max_bytes=3000))
        first = await bus.js.publish(subject, b"x" * 1000)
        assert first.seq == 1
        await bus.js.publish(subject, b"x" * 1000)
        if config.discard == "new":
            with pytest.raises(APIError, match="maximum bytes exceeded"):
                await bus.js.publish(subject, b"x" * 1000)
            assert (await bus.js.stream_info(name)).state.first_seq == 1
        else:
            await bus.js.publish(subject, b"x" * 1000)
            assert (await bus.js.stream_info(name)).state.first_seq == 2


async def test_a_second_run_changes_nothing(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    await bus.js.publish("model.load.requested", b"kept")
    caplog.set_level("INFO")
    await provision(bus.url, ["default"])
    assert [record for record in caplog.records if record.name == module.__name__] == []
    assert await bus.left("COMMANDS") == 1


async def test_a_changed_declaration_reaches_what_exists(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared_consumers = topology.consumers()
    declared_streams = topology.streams()
    monkeypatch.setattr(
        topology,
        "consumers",
        lambda pools: tuple(
            replace(each, ack_wait=77.0, max_deliver=3) for each in declared_consumers
        ),
    )
    monkeypatch.setattr(
        topology,
        "streams",
        lambda: tuple(replace(each, max_bytes=topology.MIB) for each in declared_streams),
    )
    monkeypatch.setattr(topology, "UPLOADS_MAX_BYTES", 5 * topology.MIB)
    await bus.js.publish("model.load.requested", b"kept")
    await provision(bus.url, ["default"])
    for consumer in declared_consumers:
        config = (await bus.js.consumer_info(consumer.stream, consumer.name)).config
        assert (config.ack_wait, config.max_deliver) == (77.0, 3)
    for stream in declared_streams:
        assert (await bus.js.stream_info(stream.name)).config.max_bytes == topology.MIB
    assert (await bus.js.stream_info("OBJ_uploads")).config.max_bytes == 5 * topology.MIB
    assert await bus.left("COMMANDS") == 1


async def test_a_consumer_of_before_takes_as_many_workers_and_keeps_its_messages(bus: Bus) -> None:
    spec = next(each for each in topology.consumers() if each.name.endswith("extraction-shard"))
    before = (await bus.js.consumer_info(spec.stream, spec.name)).config
    await bus.js.delete_consumer(spec.stream, spec.name)
    await bus.js.add_consumer(spec.stream, before.evolve(max_waiting=512))
    await bus.js.publish(spec.subject, b"kept")
    await provision(bus.url, ["default"])
    found = await bus.js.consumer_info(spec.stream, spec.name)
    assert (found.config.max_waiting, found.num_pending) == (spec.max_waiting, 1)


async def test_a_thousand_workers_wait_at_one_queue(bus: Bus) -> None:
    spec = next(each for each in topology.consumers() if each.name.endswith("extraction-shard"))
    client = await nats.connect(bus.url)
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe("waiting.*", cb=heard.put)
    request = json.dumps({"batch": 1, "expires": 60 * 10**9}).encode()
    for worker in range(1000):
        ask = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.name}"
        await client.publish(ask, request, reply=f"waiting.{worker}")
    await client.flush()
    await bus.js.publish(spec.subject, b"one")
    message = await asyncio.wait_for(heard.get(), 30)
    assert (message.data, message.header) == (b"one", None), "the server refuses none of them"

    async def all_read() -> ConsumerInfo:
        # The message may have met the first of them before the last was read.
        while (found := await bus.js.consumer_info(spec.stream, spec.name)).num_waiting != 999:
            pass
        return found

    found = await asyncio.wait_for(all_read(), 30)
    assert (found.num_waiting, found.num_ack_pending, heard.qsize()) == (999, 1, 0)
    await client.close()


async def test_a_pool_more_gets_its_work_consumers(bus: Bus) -> None:
    await provision(bus.url, ["default", "lab"])
    made = await bus.js.consumer_info("WORK", "loader-work-lab-model-prepare")
    assert made.config.filter_subject == "work.lab.model.prepare"
    await provision(bus.url, ["default"])
    await bus.js.consumer_info("WORK", "loader-work-lab-model-prepare")


async def test_what_the_server_refuses_is_named(bus: Bus) -> None:
    config = (await bus.js.stream_info("EVENTS")).config
    await bus.js.delete_stream("EVENTS")
    await bus.js.add_stream(config.evolve(name="OTHER"))
    with pytest.raises(MiStudioError, match="EVENTS cannot be provisioned: subjects overlap"):
        await provision(bus.url, ["default"])


async def test_a_server_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.1)
    with pytest.raises(ServiceUnavailable) as caught:
        await provision("nats://127.0.0.1:1", ["default"])
    assert caught.value.details["reason"] == "bus_unavailable"


def test_a_cluster_is_named_by_all_its_servers() -> None:
    assert servers_of("nats://a:4222") == ["nats://a:4222"]
    assert servers_of("nats://a:1, nats://b:2,") == ["nats://a:1", "nats://b:2"]


async def test_more_replicas_than_servers_are_refused_by_name(empty_server: NatsServer) -> None:
    with pytest.raises(MiStudioError) as caught:
        await provision(empty_server.url, ("default",), replicas=3)
    assert caught.value.details["name"] == "COMMANDS"


async def test_the_command_provisions(empty_server: NatsServer) -> None:
    command = ["-m", "mistudio_servicekit", "provision", "--pools", "default,lab"]
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env={"NATS_URL": empty_server.url},
            stdout=asyncio.subprocess.PIPE,
        )
        await process.communicate()
        assert process.returncode == 0
    client = await nats.connect(empty_server.url)
    await client.jetstream().consumer_info("WORK", "extractor-work-lab-extraction-shard")
    await client.close()
