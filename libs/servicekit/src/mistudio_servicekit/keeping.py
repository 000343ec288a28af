"""What a stream holds, as lines of a file, and put back at the sequences where it was."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from mistudio_contracts.errors import MiStudioError

from .headers import MSG_ID


async def last_sequence(jetstream: JetStreamContext, stream: str) -> int:
    """Return the sequence of the newest message; 0 where there never was one."""
    return int((await jetstream.stream_info(stream)).state.last_seq)


async def save(
    jetstream: JetStreamContext, stream: str, target: Path, until: int | None = None
) -> int:
    """Write the messages of a stream, a line each, and return how many there are.

    Parameters
    ----------
    jetstream
        The bus, as a user that may read any stream.
    stream
        Its name.
    target
        The file to write.
    until
        Sequence of the last message to take; the newest of now by default.
    """
    last = await last_sequence(jetstream, stream) if until is None else until
    written = 0
    with target.open("w", encoding="utf-8") as lines:
        async for message in _messages(jetstream, stream, last):
            lines.write(json.dumps(_line(message)) + "\n")
            written += 1
    return written


async def put_back(jetstream: JetStreamContext, stream: str, source: Path) -> int:
    """Make a stream anew with the messages of a file at the sequences where they were.

    Who follows the stream from a sequence on goes on from there; what is published from now on
    comes behind. The age of a message counts from now.

    Returns
    -------
    int
        How many messages there are.
    """
    found = (await jetstream.stream_info(stream)).config
    await jetstream.delete_stream(stream)
    made = False
    at = put = 0
    with source.open(encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            subject, sequence = message["subject"], int(message["sequence"])
            if not made:
                await jetstream.add_stream(found.evolve(first_seq=sequence))
                made, at = True, sequence
            for gap in range(at, sequence):
                # What was deleted there keeps its place, or those behind would move up.
                await _publish(jetstream, stream, subject, {}, b"", gap)
                await jetstream.delete_msg(stream, gap)
            data = base64.b64decode(message["data"])
            await _publish(jetstream, stream, subject, message["headers"], data, sequence)
            at, put = sequence + 1, put + 1
    if not made:
        await jetstream.add_stream(found)
    return put


async def publish_again(jetstream: JetStreamContext, stream: str, source: Path) -> int:
    """Publish the messages of a file with their headers, and return how many there are."""
    count = 0
    with source.open(encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            data = base64.b64decode(message["data"])
            headers = message["headers"] or None
            await jetstream.publish(message["subject"], data, stream=stream, headers=headers)
            count += 1
    return count


def message_ids(source: Path) -> list[str]:
    """Return the ids of a file's messages that have one."""
    with source.open(encoding="utf-8") as lines:
        found = (json.loads(line)["headers"].get(MSG_ID) for line in lines)
        return [each for each in found if each]


async def _publish(
    jetstream: JetStreamContext,
    stream: str,
    subject: str,
    headers: dict[str, str],
    data: bytes,
    sequence: int,
) -> None:
    kept = await jetstream.publish(subject, data, stream=stream, headers=headers or None)
    if int(kept.seq) != sequence:
        raise MiStudioError(
            f"A message of {stream} did not come back to its place.",
            reason="stream_in_use",
            remedy="Stop every service that publishes, then restore again.",
        )


async def _messages(
    jetstream: JetStreamContext, stream: str, last: int
) -> AsyncIterator[RawStreamMsg]:
    sequence = 1
    while sequence <= last:
        try:
            message = await jetstream.get_msg(stream, sequence, subject=">", next=True)
        except NotFoundError:
            return
        sequence = int(message.seq or 0) + 1
        if sequence <= last + 1:
            yield message


def _line(message: RawStreamMsg) -> dict[str, object]:
    headers = {
        name: value
        for name, value in (message.headers or {}).items()
        # What the server was to check or to do when it was published first.
        if name == MSG_ID or not name.lower().startswith("nats-")
    }
    return {
        "sequence": int(message.seq or 0),
        "subject": str(message.subject),
        "headers": headers,
        "data": base64.b64encode(message.data or b"").decode("ascii"),
    }
