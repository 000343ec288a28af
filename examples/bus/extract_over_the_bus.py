"""Load a model and capture activations from another service, with nats-py alone.

Nothing of ours is imported: subjects and payloads are those of `contracts/subjects.md` and
`contracts/schemas/`. Run it against any site:

    python examples/bus/extract_over_the_bus.py MODEL_ID DATASET_ID --layers 0 6 11

`NATS_URL` names the bus; `mistudio status --json` shows the embedded one's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import uuid
from typing import Any

import nats
from nats.js import JetStreamContext
from nats.js.api import DeliverPolicy

LOADED = {"model.ready", "model.failed"}
EXTRACTED = {"extraction.completed", "extraction.failed", "extraction.cancelled"}


async def publish(js: JetStreamContext, subject: str, payload: dict[str, Any]) -> str:
    """Publish a command and return its id; the stream's acknowledgement says it is kept."""
    command_id = str(uuid.uuid4())
    headers = {
        # The id makes a repeated publish harmless and names the command in command.refused.
        "Nats-Msg-Id": command_id,
        "ce-id": command_id,
        "ce-type": subject,
        "ce-source": "examples/bus",
    }
    await js.publish(subject, json.dumps(payload).encode(), stream="COMMANDS", headers=headers)
    return command_id


async def until(
    events: JetStreamContext.PullSubscription, command_id: str, key: str, value: str, last: set[str]
) -> dict[str, Any]:
    """Follow the events of one entity until one of ``last``, or until the command is refused."""
    while True:
        try:
            (message,) = await events.fetch(1, timeout=60)
        except nats.errors.TimeoutError:
            print("  … still waiting", file=sys.stderr)
            continue
        await message.ack()
        event: dict[str, Any] = json.loads(message.data)
        if message.subject == "command.refused" and event["command_id"] == command_id:
            raise SystemExit(f"refused: {event['error']['message']}")
        if event.get(key) != value:
            continue
        print(f"  {message.subject}: {json.dumps(event)}")
        if message.subject in last:
            return event


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model_id")
    parser.add_argument("dataset_id")
    parser.add_argument("--layers", type=int, nargs="+", default=[0, -1])
    parser.add_argument("--samples", type=int)
    arguments = parser.parse_args()

    connection = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    js = connection.jetstream()
    # An ephemeral consumer from now on: subscribing before publishing misses nothing.
    events = await js.pull_subscribe(
        "", stream="EVENTS", config=nats.js.api.ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    )
    try:
        print("load")
        command = await publish(js, "model.load.requested", {"model_id": arguments.model_id})
        loaded = await until(events, command, "model_id", arguments.model_id, LOADED)
        if loaded["status"] != "ready":
            raise SystemExit(f"failed: {loaded['error']['message']}")

        print("extract")
        extraction_id = f"ext_{uuid.uuid4().hex}"
        command = await publish(
            js,
            "extraction.requested",
            {
                "model_id": arguments.model_id,
                "dataset_id": arguments.dataset_id,
                "layer_indices": arguments.layers,
                "sample_count": arguments.samples,
                "extraction_id": extraction_id,
            },
        )
        done = await until(events, command, "extraction_id", extraction_id, EXTRACTED)
        if done["status"] != "completed":
            raise SystemExit(f"{done['status']}: {done.get('error', {}).get('message', '')}")
        print(f"{done['total_tokens']} tokens at {done['storage_path']}")
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
