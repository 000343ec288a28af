"""What an operator does with messages that could not be handled: list, replay, discard, sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from mistudio_contracts import topology
from mistudio_contracts.base import utcnow
from mistudio_contracts.errors import MiStudioError, NotFound
from mistudio_contracts.subjects import dead_letter

from .dead import ATTEMPTS, CODE, DIED_AT, ERROR, MESSAGE_ID, ORIGIN, REASON, STREAM, SUBJECT
from .headers import ID, MSG_ID, clean

_OURS = "mistudio-"


@dataclass(frozen=True)
class Letter:
    """A dead letter.

    ``sequence`` is its place in the DEAD stream, ``error`` the JSON of the contract's error.
    """

    sequence: int
    subject: str
    message_id: str
    code: str
    reason: str
    attempts: str
    died_at: str
    error: str
    body: str


async def dead_letters(client: Client, most: int = 100, after: int = 0) -> list[Letter]:
    """Return the oldest dead letters behind the place ``after``, at most ``most``."""
    found: list[Letter] = []
    sequence = after + 1
    while len(found) < most:
        message = await _next(client.jetstream(), STREAM, "dead.>", sequence)
        if message is None:
            break
        found.append(_letter(message))
        sequence = _sequence(message) + 1
    return found


async def dead_letter_at(client: Client, sequence: int) -> Letter:
    """Return one dead letter.

    Raises
    ------
    NotFound
        When there is no such dead letter.
    """
    return _letter(await _letter_at(client.jetstream(timeout=10), sequence))


async def count_dead(client: Client) -> int:
    """Return how many dead letters there are."""
    info = await client.jetstream(timeout=10).stream_info(STREAM)
    return int(info.state.messages)


async def replay(client: Client, sequence: int) -> int:
    """Put a dead letter back where it came from, and take it out of the DEAD stream.

    Returns
    -------
    int
        Its new sequence in the stream it came from.

    Raises
    ------
    NotFound
        When there is no such dead letter.
    """
    stream = client.jetstream(timeout=10)
    message = await _letter_at(stream, sequence)
    headers = {
        name: value
        for name, value in (message.headers or {}).items()
        if not name.lower().startswith((_OURS, "nats-"))
    }
    # The first id would be taken for the message that died, within the duplicate window.
    headers[MSG_ID] = f"replay-{sequence}"
    kept = await stream.publish(_letter(message).subject, message.data or b"", headers=headers)
    await stream.delete_msg(STREAM, sequence)
    return int(kept.seq)


async def discard(client: Client, sequence: int) -> None:
    """Take a dead letter out of the DEAD stream for good.

    Raises
    ------
    NotFound
        When there is no such dead letter.
    """
    stream = client.jetstream(timeout=10)
    await _letter_at(stream, sequence)
    await stream.delete_msg(STREAM, sequence)


async def sweep(client: Client, consumers: Sequence[topology.ConsumerSpec]) -> int:
    """Move to the DEAD stream what no consumer will ever be given again; return how many.

    A work queue keeps for ever a message whose last delivery ended with its worker: nothing is
    pending, nothing is outstanding, and yet it is there. Safe while services run.
    """
    stream = client.jetstream(timeout=10)
    moved = 0
    for consumer in consumers:
        info = await stream.consumer_info(consumer.stream, consumer.name)
        if info.num_ack_pending or info.delivered is None:
            continue
        sequence = 1
        while True:
            message = await _next(stream, consumer.stream, consumer.subject, sequence)
            if message is None or _sequence(message) > (info.delivered.stream_seq or 0):
                break
            sequence = _sequence(message)
            if await _next(stream, consumer.stream, consumer.subject, sequence) != message:
                continue  # It was on its way out, acknowledged a moment ago.
            await stream.publish(
                dead_letter(consumer.subject),
                message.data or b"",
                stream=STREAM,
                headers=_stranded(message, consumer),
            )
            await stream.delete_msg(consumer.stream, sequence)
            sequence += 1
            moved += 1
    return moved


async def _letter_at(stream: JetStreamContext, sequence: int) -> RawStreamMsg:
    try:
        return await stream.get_msg(STREAM, sequence)
    except NotFoundError as error:
        raise NotFound(
            f"There is no dead letter {sequence}.",
            reason="no_such_letter",
            remedy="List them: mistudio dead list",
        ) from error


def _stranded(message: RawStreamMsg, consumer: topology.ConsumerSpec) -> dict[str, str]:
    error = MiStudioError("Its last delivery has never come to an end.", reason="max_deliveries")
    original = message.headers or {}
    origin = f"{consumer.stream}:{_sequence(message)}"
    headers = {k: v for k, v in original.items() if not k.lower().startswith("nats-")}
    return headers | {
        MSG_ID: f"swept-{origin}",
        ERROR: clean(error.body().model_dump_json(), 4000),
        CODE: str(error.code),
        REASON: "max_deliveries",
        ATTEMPTS: str(consumer.max_deliver),
        ORIGIN: f"{origin}:{consumer.name}",
        SUBJECT: consumer.subject,
        MESSAGE_ID: original.get(MSG_ID, ""),
        DIED_AT: utcnow().isoformat(),
    }


async def _next(
    stream: JetStreamContext, name: str, subject: str, sequence: int
) -> RawStreamMsg | None:
    try:
        return await stream.get_msg(name, sequence, subject=subject, next=True)
    except NotFoundError:
        return None


def _sequence(message: RawStreamMsg) -> int:
    return int(message.seq or 0)


def _letter(message: RawStreamMsg) -> Letter:
    headers = message.headers or {}
    return Letter(
        sequence=_sequence(message),
        subject=headers.get(SUBJECT) or str(message.subject).removeprefix("dead."),
        message_id=headers.get(MESSAGE_ID) or headers.get(ID, ""),
        code=headers.get(CODE, ""),
        reason=headers.get(REASON, ""),
        attempts=headers.get(ATTEMPTS, ""),
        died_at=headers.get(DIED_AT, ""),
        error=headers.get(ERROR, ""),
        body=(message.data or b"").decode(errors="replace"),
    )
