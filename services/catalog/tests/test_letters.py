"""Dead letters are listed, shown, put back and discarded without a password of the bus."""

from __future__ import annotations

from typing import Any

from mistudio_contracts import commands as c
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts.errors import ErrorCode

from .support import World


async def page(world: World, **wanted: Any) -> views.DeadLetterPage:
    request = rpc.ListDeadLettersRequest(**wanted)
    return await world.ask(subjects.RPC_DEAD_LIST, request, views.DeadLetterPage)


async def die(world: World, body: bytes, headers: dict[str, str] | None = None) -> views.DeadLetter:
    """Publish a command that cannot be handled; return it from among the dead letters."""
    client = await world.broker.connect()
    await client.jetstream().publish(subjects.MODEL_LOAD.name(), body, headers=headers)
    return await newer(world, 0)


async def newer(world: World, than: int) -> views.DeadLetter:
    """Wait for a letter behind a place; each test takes its own away."""
    while not (found := await page(world, after=than)).dead_letters:
        continue
    return found.dead_letters[-1]


async def discard(world: World, letter: views.DeadLetter) -> None:
    one = rpc.DeadLetterRequest(sequence=letter.sequence, actor="ada")
    await world.ask(subjects.RPC_DEAD_DISCARD, one, rpc.Done)


async def test_a_poisonous_command_is_listed_shown_replayed_and_discarded(
    shared_world: World,
) -> None:
    world = shared_world
    letter = await die(world, b'{"model_id": 7}', {"Nats-Msg-Id": "cmd_poison"})
    assert letter.subject == "model.load.requested"
    assert letter.message_id == "cmd_poison"
    assert (letter.code, letter.attempts) == (ErrorCode.VALIDATION_ERROR, 1)
    assert letter.died_at is not None

    one = rpc.DeadLetterRequest(sequence=letter.sequence, actor="ada")
    shown = await world.ask(subjects.RPC_DEAD_GET, one, views.DeadLetterDetail)
    assert shown.payload == '{"model_id": 7}'
    assert shown.error is not None
    assert shown.error.details["field"] == "model_id"
    assert "Traceback" not in shown.model_dump_json()

    await world.ask(subjects.RPC_DEAD_REPLAY, one, views.Replayed)
    again = await newer(world, letter.sequence)
    assert (await page(world)).total == 1, "it died again, and the first copy is gone"
    assert (await world.refusal(subjects.RPC_DEAD_GET, one)).code is ErrorCode.NOT_FOUND

    await discard(world, again)
    assert (await page(world)).dead_letters == []
    last = rpc.DeadLetterRequest(sequence=again.sequence)
    for subject in (subjects.RPC_DEAD_REPLAY, subjects.RPC_DEAD_DISCARD):
        assert (await world.refusal(subject, last)).code is ErrorCode.NOT_FOUND


async def test_a_command_of_a_newer_version_is_parked_as_it_is(shared_world: World) -> None:
    world = shared_world
    body = c.LoadModel(model_id="m_new").model_dump_json().encode()
    letter = await die(world, body, {"ce-schemaversion": "2"})
    assert letter.reason == "unknown_version"
    one = rpc.DeadLetterRequest(sequence=letter.sequence)
    shown = await world.ask(subjects.RPC_DEAD_GET, one, views.DeadLetterDetail)
    assert shown.payload.encode() == body
    assert world.events(subjects.COMMAND_REFUSED) == []
    await discard(world, letter)


async def test_pages_of_dead_letters_follow_each_other(shared_world: World) -> None:
    world = shared_world
    place = 0
    for number in range(3):
        await die(world, f"{{{number}".encode())
        place = (await newer(world, place)).sequence
    first = await page(world, limit=2)
    assert len(first.dead_letters) == 2
    rest = await page(world, limit=2, after=first.next)
    assert len(rest.dead_letters) == 1
    assert rest.next is None
    letters = (*first.dead_letters, *rest.dead_letters)
    places = [letter.sequence for letter in letters]
    assert places == sorted(set(places))
    for letter in letters:
        await discard(world, letter)


async def test_a_long_payload_is_shown_by_its_beginning(shared_world: World) -> None:
    letter = await die(shared_world, b"x" * 100_000)
    assert letter.bytes == 100_000
    one = rpc.DeadLetterRequest(sequence=letter.sequence)
    shown = await shared_world.ask(subjects.RPC_DEAD_GET, one, views.DeadLetterDetail)
    assert shown.payload == "x" * 64 * 1024
    await discard(shared_world, letter)


async def test_a_queue_that_is_full_does_not_take_it_back(shared_world: World) -> None:
    """It stays where it was: nothing is lost by trying."""
    letter = await die(shared_world, b"{")
    client = await shared_world.broker.connect()
    stream = client.jetstream()
    config = (await stream.stream_info("COMMANDS")).config
    await stream.update_stream(config.evolve(max_bytes=1))
    one = rpc.DeadLetterRequest(sequence=letter.sequence)
    refused = await shared_world.refusal(subjects.RPC_DEAD_REPLAY, one)
    assert refused.code is ErrorCode.SERVICE_UNAVAILABLE
    assert (await page(shared_world)).total == 1
