"""Nonsense at each door for ten minutes: every answer is one of the contract's, nobody ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import nats
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from nats.js.api import Header
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from mistudio_client.embedded import EmbeddedStack
from mistudio_client.embedded.processes import wait_until
from mistudio_contracts import subjects, topology
from mistudio_contracts.frames import FRAME_TYPES
from mistudio_contracts.subjects import Kind
from mistudio_testkit.fuzzing import fuzz_rest
from mistudio_testkit.models import make_model, ragged_texts, write_jsonl
from mistudio_testkit.nightly import FUZZ_SECONDS
from mistudio_testkit.site import Site

from .conftest import Watched
from .inputs import JUNK, altered, example, rounds

pytestmark = [
    pytest.mark.stack,
    pytest.mark.fuzz,
    pytest.mark.nightly("ten minutes of nonsense"),
    pytest.mark.timeout(3 * FUZZ_SECONDS + 600),
]

QUICK = settings(
    max_examples=100,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""Nothing is shrunk: what a service was told before counts, and the same again is another case."""


def test_rest_answers_as_its_schema_says(
    site: Site, stack: EmbeddedStack, watched: Watched
) -> None:
    phases = "examples,coverage,fuzzing,stateful"
    fuzz_rest(stack, "--phases", phases, "--max-time", str(FUZZ_SECONDS))
    watched.check()


SELECTION = {"models": ["m_1"], "datasets": None, "extractions": [], "devices": True, "after": 3}
MESSAGES: st.SearchStrategy[str | bytes] = st.one_of(
    altered({"subscribe": SELECTION}).map(json.dumps),
    altered({"token": "a.b.c"}).map(json.dumps),
    JUNK.map(json.dumps),
    st.text(max_size=200),
    st.binary(max_size=200),
)
KNOWN = {"subscribed", "error", "progress", *FRAME_TYPES.values()}
CLOSED = {1000, 1002, 1003, 1007, 1009, 4401, 4403}
"""What the gateway may end a talker of nonsense with; 1011 would be a bug of its own."""


def test_a_socket_answers_or_closes_as_it_says(
    site: Site, stack: EmbeddedStack, watched: Watched
) -> None:
    address = stack.url.replace("http", "ws", 1) + "/ws"

    def once(seed: int) -> None:
        @QUICK
        @seeded(seed)
        @given(st.booleans(), st.lists(MESSAGES, max_size=8), st.binary(max_size=50))
        def talk(known: bool, messages: list[str | bytes], raw: bytes) -> None:
            with connect(address, open_timeout=30) as socket:
                try:
                    if known:
                        socket.send(json.dumps({"token": stack.token}))
                    for message in messages:
                        socket.send(message)
                    hear(socket)
                    socket.socket.sendall(raw)
                    socket.close()
                    hear(socket)
                except (ConnectionClosed, OSError):
                    pass
            assert socket.close_code in {*CLOSED, 1006, None} - ({None} if known else set())
            assert socket.close_code != 1011

        talk()

    assert rounds(FUZZ_SECONDS, once) > 0
    watched.check()


def hear(socket: ClientConnection) -> None:
    """Take what was sent, and insist that it is of the contract."""
    while True:
        try:
            frame = json.loads(socket.recv(timeout=0.02))
        except TimeoutError:
            return
        assert frame["type"] in KNOWN, frame
        if frame["type"] == "error":
            assert frame["data"]["code"] != "INTERNAL_ERROR", frame


TOLD = subjects.of_kind(Kind.COMMAND, Kind.REPORT, Kind.WORK)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["ce-schemaversion", "ce-id", "ce-source", "ce-subject", "traceparent", "content-type"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
    | st.sampled_from(["1", "2", "99", "-1", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"]),
    max_size=3,
)
MESSAGE = st.sampled_from(TOLD).flatmap(
    lambda subject: st.tuples(
        st.just(subject.name()),
        altered(example(subject)).map(lambda found: json.dumps(found).encode())
        | JUNK.map(lambda found: json.dumps(found).encode())
        | st.binary(max_size=200),
        HEADERS,
    )
)


def test_the_bus_takes_anything_and_goes_on(
    site: Site, stack: EmbeddedStack, watched: Watched, tmp_path: Any
) -> None:
    def once(seed: int) -> None:
        batch: list[tuple[str, bytes, dict[str, str]]] = []

        @QUICK
        @seeded(seed)
        @given(MESSAGE)
        def draw(message: tuple[str, bytes, dict[str, str]]) -> None:
            batch.append(message)

        draw()
        asyncio.run(publish(stack.nats_url, batch))
        assert wait_until(lambda: asyncio.run(waiting(stack.nats_url)) == 0, 120, poll=0.2), seed

    assert rounds(FUZZ_SECONDS, once) > 0
    watched.check()
    ready = site.ready_model(make_model(tmp_path / "gpt2", "gpt2"))
    dataset = site.upload(write_jsonl(tmp_path / "d.jsonl", ragged_texts(8)))
    done = site.extract(ready["id"], dataset_id=dataset["id"], layer_indices=[0])
    assert done["status"] == "completed", done["error"]


async def publish(nats_url: str, batch: list[tuple[str, bytes, dict[str, str]]]) -> None:
    client = await nats.connect(nats_url)
    try:
        for number, (subject, payload, headers) in enumerate(batch):
            # Every third comes twice, as after a lost acknowledgement.
            for _ in range(2 if number % 3 == 0 else 1):
                own = {**headers, Header.MSG_ID.value: f"{id(batch)}-{number}"}
                await client.jetstream().publish(subject, payload, headers=own)
    finally:
        await client.close()


async def waiting(nats_url: str) -> int:
    """Return how many messages of the queues nobody has settled."""
    client = await nats.connect(nats_url)
    try:
        found = 0
        for spec in topology.consumers():
            info = await client.jetstream().consumer_info(spec.stream, spec.name)
            found += (info.num_pending or 0) + (info.num_ack_pending or 0)
        return found
    finally:
        await client.close()
