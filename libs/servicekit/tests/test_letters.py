"""Dead letters can be listed and replayed, and nothing stays in a queue for ever."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from mistudio_contracts import subjects, topology
from mistudio_contracts.commands import LoadModel
from mistudio_contracts.errors import NotFound
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery, consume
from mistudio_servicekit.letters import dead_letters, discard, replay, sweep
from mistudio_servicekit.provision import provision

from .conftest import Bus, load, until

SUBJECT = subjects.MODEL_LOAD


class Mended:
    """Fails until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.done: list[tuple[LoadModel, Delivery]] = []

    async def __call__(self, payload: LoadModel, delivery: Delivery) -> None:
        if not self.mended:
            raise KeyError("a bug")
        self.done.append((payload, delivery))


async def test_a_dead_letter_is_listed_and_replayed_once_the_bug_is_mended(
    bus: Bus, publisher: Publisher
) -> None:
    broker, handler = bus.broker(), Mended()
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a", msg_id="cmd_1")
        await bus.dead(SUBJECT)
        [letter] = await dead_letters(bus.client)
        assert letter.subject == SUBJECT.name()
        assert letter.message_id == "cmd_1"
        assert letter.reason == "unexpected"
        assert letter.attempts == "1"
        assert json.loads(letter.body)["model_id"] == "m_a"

        handler.mended = True
        await replay(bus.client, letter.sequence)
        await until(lambda: handler.done)
    [(payload, delivery)] = handler.done
    assert payload == load("m_a")
    assert delivery.source == "gateway", "its headers are its own"
    assert await dead_letters(bus.client) == []


class LoadModelOfTomorrow(LoadModel):
    """What a later service makes of the same subject."""

    VERSION = 2


async def test_a_message_of_a_newer_version_waits_for_the_service_that_knows_it(
    bus: Bus, publisher: Publisher
) -> None:
    tomorrow = replace(SUBJECT, payload=LoadModelOfTomorrow)
    sent = LoadModelOfTomorrow(model_id="m_a")
    broker, handler = bus.broker(), Mended()
    handler.mended = True
    consume(broker, SUBJECT, handler)
    async with bus.run(broker):
        await publisher.publish(tomorrow, sent, entity_id="m_a", msg_id="cmd_1")
        await bus.dead(SUBJECT)
    assert handler.done == [], "a service of today does not guess"
    [letter] = await dead_letters(bus.client)
    assert (letter.reason, letter.message_id) == ("unknown_version", "cmd_1")

    broker = bus.broker()
    consume(broker, tomorrow, handler)
    async with bus.run(broker):
        await replay(bus.client, letter.sequence)
        await until(lambda: handler.done)
    assert handler.done[0][0] == sent
    assert await dead_letters(bus.client) == []


async def test_a_dead_letter_may_die_again(bus: Bus, publisher: Publisher) -> None:
    broker = bus.broker()
    consume(broker, SUBJECT, Mended())
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await bus.dead(SUBJECT)
        await replay(bus.client, 1)
        await until(lambda: _letters(bus, [2]))


async def test_a_dead_letter_that_nobody_needs_is_not_put_back(
    bus: Bus, publisher: Publisher
) -> None:
    broker = bus.broker()
    consume(broker, SUBJECT, Mended())
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await bus.dead(SUBJECT)
        await discard(bus.client, 1)
    assert await dead_letters(bus.client) == []
    assert await bus.left("COMMANDS") == 0


async def test_no_such_letter(bus: Bus) -> None:
    with pytest.raises(NotFound):
        await replay(bus.client, 7)
    with pytest.raises(NotFound):
        await discard(bus.client, 7)


async def test_what_no_consumer_will_be_given_again_is_moved(
    bus: Bus, publisher: Publisher
) -> None:
    await bus.set_limits(SUBJECT, ack_wait=0.2, max_deliver=1)
    await publisher.publish(SUBJECT, load("m_dead"), entity_id="m_dead", msg_id="cmd_1")
    pull = await bus.js.pull_subscribe_bind(SUBJECT.durable(), "COMMANDS")
    await pull.fetch(1)
    assert await sweep(bus.client, topology.consumers()) == 0, "it may still be acknowledged"
    await until(lambda: _nothing_outstanding(bus))
    await publisher.publish(SUBJECT, load("m_new"), entity_id="m_new")
    assert await sweep(bus.client, topology.consumers()) == 1
    [letter] = await dead_letters(bus.client)
    assert (letter.message_id, letter.reason) == ("cmd_1", "max_deliveries")
    assert json.loads(letter.body)["model_id"] == "m_dead"
    assert await bus.left("COMMANDS") == 1, "the new one waits for its consumer"
    assert await sweep(bus.client, topology.consumers()) == 0


async def test_provisioning_sweeps(bus: Bus, publisher: Publisher) -> None:
    await bus.set_limits(SUBJECT, ack_wait=0.2, max_deliver=1)
    await publisher.publish(SUBJECT, load(), entity_id="m_one")
    await (await bus.js.pull_subscribe_bind(SUBJECT.durable(), "COMMANDS")).fetch(1)
    await until(lambda: _nothing_outstanding(bus))
    await provision(bus.url, ["default"])
    assert await bus.left("DEAD") == 1


async def test_the_commands(bus: Bus, publisher: Publisher) -> None:
    broker = bus.broker()
    consume(broker, SUBJECT, Mended())
    async with bus.run(broker):
        await publisher.publish(SUBJECT, load("m_a"), entity_id="m_a")
        await bus.dead(SUBJECT)
    [listed] = _run(bus, "dead").stdout.splitlines()
    letter = json.loads(listed)
    assert letter["subject"] == SUBJECT.name()
    assert _run(bus, "replay", str(letter["sequence"])).stdout == "2\n"
    assert await bus.left("COMMANDS") == 1
    assert _run(bus, "sweep").stdout == "0\n"
    assert _run(bus, "discard", "99").returncode == 1
    refused = _run(bus, "replay", "99")
    assert refused.returncode == 1
    assert "There is no dead letter 99." in refused.stderr


def _run(bus: Bus, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mistudio_servicekit", *arguments],
        env={"NATS_URL": bus.url},
        check=False,
        capture_output=True,
        text=True,
    )


async def _letters(bus: Bus, sequences: list[int]) -> bool:
    return [letter.sequence for letter in await dead_letters(bus.client)] == sequences


async def _nothing_outstanding(bus: Bus) -> Any:
    info = await bus.js.consumer_info("COMMANDS", SUBJECT.durable())
    return info.num_ack_pending == 0
