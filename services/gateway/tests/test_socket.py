"""The WebSocket: who may listen, what is replayed, what is live, and how it ends."""

import asyncio
import json
import socket
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from starlette.websockets import WebSocket, WebSocketState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mistudio_contracts import events, views
from mistudio_contracts.errors import ErrorBody, ErrorCode, ServiceUnavailable
from mistudio_contracts.states import CacheStatus, ExtractionStatus, ModelStatus, Scope
from mistudio_contracts.subjects import RPC_EXTRACTION_LIST, RPC_MODEL_LIST
from mistudio_gateway import transport
from mistudio_gateway.handlers import session
from mistudio_servicekit.auth import issue_token


def registered(model_id="m_1", name="n"):
    return events.ModelRegistered(model_id=model_id, status=ModelStatus.PENDING, name=name)


def loading(task, model_id="m_1"):
    return events.ModelLoading(
        model_id=model_id, status=ModelStatus.LOADING, task_id=task, quantization="none"
    )


def load_progress(task, progress, model_id="m_1"):
    return events.ModelLoadProgress(
        model_id=model_id,
        status=ModelStatus.LOADING,
        task_id=task,
        stage="downloading",
        progress=progress,
    )


def ready(task, model_id="m_1"):
    return events.ModelReady(
        model_id=model_id,
        status=ModelStatus.READY,
        task_id=task,
        memory_usage_bytes=1,
        load_time_seconds=1.5,
    )


def extraction_progress(progress, extraction_id="ext_1"):
    return events.ExtractionProgress(
        extraction_id=extraction_id,
        model_id="m_1",
        status=ExtractionStatus.EXTRACTING,
        progress=progress,
        samples_processed=int(progress),
        total_samples=100,
    )


async def closed(connection):
    """Read to the end; return the close code."""
    try:
        while True:
            await asyncio.wait_for(connection.recv(), 20)
    except ConnectionClosed:
        return connection.close_code


async def test_a_token_may_come_as_a_subprotocol(gateway, catalog, kit):
    async with kit.listening(gateway, Scope.READ) as listener:
        assert listener.connection.subprotocol == "mistudio.v1"
        assert (await listener.subscribe())["type"] == "subscribed"


async def test_a_token_may_come_as_the_first_message(gateway, catalog, kit):
    async with connect(gateway.ws) as connection:
        await connection.send(json.dumps({"token": kit.token(Scope.READ)}))
        await connection.send(json.dumps({"subscribe": {}}))
        assert json.loads(await connection.recv())["type"] == "subscribed"


@pytest.mark.parametrize(
    "first", [None, "{}", "nonsense", '{"token": "wrong"}', '{"subscribe": {}}', b"\x00"]
)
async def test_without_a_good_token_the_connection_ends(gateway, first):
    async with connect(gateway.ws) as connection:
        if first is not None:
            await connection.send(first)
        frame = json.loads(await connection.recv())
        assert (frame["type"], frame["data"]["code"]) == ("error", ErrorCode.UNAUTHORIZED)
        assert await closed(connection) == 4401


async def test_a_token_in_the_url_is_not_looked_at(gateway, kit):
    async with connect(f"{gateway.ws}?token={kit.token()}") as connection:
        assert await closed(connection) == 4401


async def test_a_token_without_the_scope_is_refused(gateway, kit):
    bare = issue_token(kit.SECRET, "ann", [], timedelta(hours=1))
    async with connect(gateway.ws, subprotocols=["mistudio.v1", f"bearer.{bare}"]) as connection:
        assert await closed(connection) == 4403


async def test_a_connection_does_not_outlive_its_token(gateway, kit, catalog):
    short = kit.token(lifetime=timedelta(seconds=1))
    async with connect(gateway.ws, subprotocols=["mistudio.v1", f"bearer.{short}"]) as connection:
        assert await closed(connection) == 4401


async def test_events_come_with_their_place_in_the_stream(gateway, catalog, kit):
    async with kit.listening(gateway) as listener:
        newest = (await listener.subscribe())["id"]
        sequence = await catalog.publish(registered(name="é"))
        frame = await listener.next()
        assert frame["id"] == sequence == newest + 1
        assert frame["type"] == "model:registered"
        assert frame["data"]["name"] == "é"
        events.ModelRegistered.model_validate(frame["data"])


async def test_a_client_hears_what_it_selected(gateway, catalog, kit):
    async with kit.listening(gateway) as listener:
        await listener.subscribe(models=["m_2"], datasets=[], extractions=[], devices=False)
        await catalog.publish(registered("m_1"))
        await catalog.publish(
            events.DatasetReady(
                dataset_id="ds_1", status="ready", sample_count=1, fingerprint="ab" * 8
            )
        )
        await catalog.publish(events.CacheEvicted(cache_id="act_1", freed_bytes=1))
        await catalog.publish(extraction_progress(5))
        sequence = await catalog.publish(registered("m_2"))
        assert (await listener.next())["id"] == sequence
        await listener.subscribe(models=[], extractions=None)
        await catalog.publish(registered("m_2"))
        sequence = await catalog.publish(events.CacheEvicted(cache_id="act_1", freed_bytes=1))
        assert (await listener.next())["id"] == sequence
        await catalog.publish(events.CacheChecked(cache_id="act_2", status=CacheStatus.MISSING))
        assert (await listener.next())["data"]["status"] == "missing"


async def test_a_client_may_change_its_mind_as_often_as_it_likes(gateway, catalog, kit):
    async with kit.listening(gateway) as listener:
        for _ in range(50):
            await listener.send(subscribe={"models": ["m_3"]})
        sequence = await catalog.publish(registered("m_2"))
        await listener.send(subscribe={"models": ["m_2"], "after": sequence - 1})
        assert (await listener.until_type("model:registered"))["id"] == sequence


async def test_a_message_that_is_no_subscription_is_answered_with_an_error(gateway, kit, catalog):
    async with kit.listening(gateway) as listener:
        for message in ("nonsense", '{"subscribe": {"after": -1}}', '{"unknown": 1}', b"\x01"):
            await listener.connection.send(message)
            frame = await listener.next()
            assert frame["type"] == "error"
            assert frame["data"]["code"] == ErrorCode.VALIDATION_ERROR
        assert (await listener.subscribe())["type"] == "subscribed"


async def test_what_was_missed_is_replayed_once_and_in_order(gateway, catalog, kit):
    sequences = [await catalog.publish(registered(name=str(n))) for n in range(20)]
    async with kit.listening(gateway) as listener:
        await listener.subscribe(after=sequences[4], models=["m_1"])
        sequences.append(await catalog.publish(registered(name="live")))
        got = [(await listener.next())["id"] for _ in sequences[5:]]
        assert got == sequences[5:]


async def test_events_older_than_the_memory_are_replayed_without_gap_or_repeat(bus, catalog, kit):
    first = await catalog.publish(registered("m_old", name="0"))
    sequences = [first, *[await catalog.publish(registered("m_old")) for _ in range(300)]]
    async with kit.running_gateway(bus, ring_events=3) as small, kit.listening(small) as listener:

        async def go_on():
            for _ in range(100):
                sequences.append(await catalog.publish(registered("m_old")))

        publishing = asyncio.create_task(go_on())
        answer = await listener.subscribe(after=first, models=["m_old"])
        assert answer["data"]["gap"] is False
        await publishing
        got = [(await listener.next())["id"] for _ in sequences[1:]]
        assert got == sequences[1:]


async def test_who_has_seen_none_may_ask_for_the_last_ones(bus, catalog, kit):
    sequences = [await catalog.publish(registered("m_last", name=str(n))) for n in range(20)]
    for ring_events in (3, 100):
        async with (
            kit.running_gateway(bus, ring_events=ring_events) as some,
            kit.listening(some) as listener,
        ):
            answer = await listener.subscribe(last=5, models=["m_last"])
            assert (answer["id"], answer["data"].keys()) == (sequences[-1], {"stream"})
            assert [(await listener.next())["id"] for _ in range(5)] == sequences[-5:]
            await listener.subscribe(last=5, after=sequences[-2], models=["m_last"])
            assert (await listener.next())["id"] == sequences[-1]


@pytest.mark.parametrize("other", [{"after": 10**9}, {"after": 1, "stream": "another"}])
async def test_for_an_id_of_another_stream_all_that_this_one_holds_is_replayed(
    gateway, catalog, kit, other
):
    sequence = await catalog.publish(registered("m_anew"))
    async with kit.listening(gateway) as listener:
        answer = await listener.subscribe(models=["m_anew"], **other)
        assert answer["data"]["gap"] is True
        assert (await listener.next())["id"] <= sequence
        again = await catalog.publish(registered("m_anew"))
        while (await listener.next())["id"] != again:
            continue
        stream = answer["data"]["stream"]
    async with kit.listening(gateway) as listener:
        answer = await listener.subscribe(models=["m_anew"], after=sequence, stream=stream)
        assert not answer["data"].get("gap")
        assert (await listener.next())["id"] == again


async def test_live_progress_has_no_id_and_ends_with_its_task(gateway, catalog, kit):
    async with kit.listening(gateway) as listener:
        await listener.subscribe(models=["m_9"])
        await catalog.publish(loading("task_a", "m_9"))
        assert (await listener.next())["type"] == "model:loading"
        await catalog.publish(load_progress("task_a", 30, "m_9"))
        frame = await listener.next()
        assert (frame["id"], frame["type"]) == (None, "model:loading")
        assert (frame["data"]["progress"], frame["data"]["stage"]) == (30, "downloading")
        await catalog.publish(ready("task_a", "m_9"))
        assert (await listener.next())["type"] == "model:ready"
        await catalog.publish(load_progress("task_a", 99, "m_9"))
        await catalog.publish(load_progress("task_b", 1, "m_9"))
        assert (await listener.next())["data"]["task_id"] == "task_b"


async def test_a_subscription_begins_with_the_newest_state(gateway, catalog, kit):
    page = {"total": 1, "limit": 500, "offset": 0}
    model = kit.model(id="m_8", status="loading", stage="quantizing", progress=77, task_id="task_8")
    other = kit.model(id="m_7", status="loading", progress=1, task_id="task_7")
    summaries = [
        views.ModelSummary.model_validate(m.model_dump(exclude={"config"})) for m in (model, other)
    ]
    catalog.answer(RPC_MODEL_LIST, lambda r: views.ModelPage(models=summaries, **page))
    catalog.answer(
        RPC_EXTRACTION_LIST,
        lambda r: views.ExtractionPage(
            extractions=[kit.extraction(extraction_id="ext_8", progress=40, total_samples=10)]
            if r.status is ExtractionStatus.EXTRACTING
            else [],
            **page,
        ),
    )
    async with kit.listening(gateway) as listener:
        await listener.subscribe(models=["m_8"], extractions=["ext_8"])
        first, second = await listener.next(), await listener.next()
        assert (first["id"], first["type"], first["data"]["progress"]) == (
            None,
            "model:loading",
            77,
        )
        assert (second["type"], second["data"]["progress"]) == ("extraction:progress", 40)
        # An older step that was on its way does not go back.
        await catalog.publish(load_progress("task_8", 50, "m_8"))
        await catalog.publish(load_progress("task_8", 90, "m_8"))
        assert (await listener.next())["data"]["progress"] == 90


async def test_a_crowd_that_comes_back_asks_the_catalog_a_few_questions(gateway, catalog, kit):
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(kit.listening(gateway)) for _ in range(30)]
        await asyncio.gather(*(listener.subscribe() for listener in crowd))
        sequence = await catalog.publish(registered())
        assert [(await listener.next())["id"] for listener in crowd] == [sequence] * 30
    asked = sum(name == RPC_MODEL_LIST.pattern for name, _ in catalog.asked)
    assert 1 <= asked < 15


async def test_a_catalog_that_is_away_does_not_stop_the_events(gateway, catalog, kit):
    catalog.refuse(RPC_MODEL_LIST, ServiceUnavailable("away"))
    async with kit.listening(gateway) as listener:
        await listener.subscribe()
        sequence = await catalog.publish(registered())
        assert (await listener.next())["id"] == sequence


async def test_a_slow_client_is_sent_away_and_slows_nobody(bus, catalog, kit):
    """The slow one's own buffers are small; what it does not read fills the server's queue."""
    failed = events.ModelFailed(
        model_id="m_1",
        status=ModelStatus.FAILED,
        task_id="task_1",
        error=ErrorBody(code=ErrorCode.MODEL_LOAD_FAILED, message="x" * 60_000),
    )
    async with (
        kit.running_gateway(bus, socket_backlog_bytes=200_000) as small,
        kit.listening(small) as quick,
        kit.listening(small, max_queue=1) as slow,
    ):
        await slow.subscribe()
        await quick.subscribe()
        # Beyond one frame the library stops reading from a connection whose frames nobody takes.
        sequences = []
        got = []
        metrics = small.app.state.gateway.metrics
        while metrics.lagging._value.get() == 0:
            sequences.append(await catalog.publish(failed))
            got.append((await quick.next())["id"])
        assert got == sequences
        assert await closed(slow.connection) == 4408
        sequence = await catalog.publish(registered())
        assert (await quick.next())["id"] == sequence


async def test_messages_are_never_unpacked_and_of_bounded_size(gateway, catalog, kit):
    async with kit.listening(gateway, compression="deflate") as listener:
        assert "Sec-WebSocket-Extensions" not in listener.connection.response.headers
        await listener.connection.send('{"subscribe": {}, "x": "' + "x" * (2 << 20) + '"}')
        assert await closed(listener.connection) == 1009


async def test_what_is_kept_of_the_newest_events_has_a_size(bus, catalog, kit):
    """Those beyond it are replayed from the stream."""
    first = await catalog.publish(registered("m_big"))
    async with kit.running_gateway(bus, ring_bytes=3_000) as small:
        hub = small.app.state.gateway.hub
        sequences = [await catalog.publish(registered("m_big", name="x" * 400)) for _ in range(20)]
        await kit.until(lambda: hub.newest == sequences[-1])
        kept = hub.since(hub.floor)
        assert 1 < len(kept) < 10
        assert sum(event.size for event in kept) <= 3_000
        async with kit.listening(small) as listener:
            await listener.subscribe(after=first, models=["m_big"])
            assert [(await listener.next())["id"] for _ in sequences] == sequences


async def test_a_client_that_never_reads_is_let_go_of(bus, catalog, kit, monkeypatch):
    """Neither its connection nor its file stays once it has been sent away."""
    monkeypatch.setattr(transport, "LINGER_SECONDS", 0.1)
    monkeypatch.setattr(session, "CLOSE_SECONDS", 0.1)
    failed = events.ModelFailed(
        model_id="m_1",
        status=ModelStatus.FAILED,
        task_id="task_1",
        error=ErrorBody(code=ErrorCode.MODEL_LOAD_FAILED, message="x" * 60_000),
    )
    with socket.socket() as small_window:
        small_window.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small_window.setblocking(False)
        async with kit.running_gateway(bus, socket_backlog_bytes=200_000) as small:
            address = ("127.0.0.1", small.port)
            await asyncio.get_running_loop().sock_connect(small_window, address)
            client = connect(
                small.ws,
                subprotocols=["mistudio.v1", f"bearer.{kit.token()}"],
                sock=small_window,
                max_queue=1,
                ping_interval=None,
                close_timeout=0.1,
            )
            async with client as connection:
                await connection.send(json.dumps({"subscribe": {}}))
                assert json.loads(await connection.recv())["type"] == "subscribed"
                metrics = small.app.state.gateway.metrics
                while metrics.lagging._value.get() == 0:
                    await catalog.publish(failed)
                await kit.until(lambda: not small.connections)


async def test_clients_beyond_the_limit_are_asked_to_come_later(bus, catalog, kit):
    async with kit.running_gateway(bus, socket_clients=1) as small, kit.listening(small) as first:
        await first.subscribe()
        async with kit.listening(small) as second:
            assert await closed(second.connection) == 1013


async def test_a_client_that_leaves_while_two_things_are_sent_to_it_is_no_fault(
    gateway, catalog, kit, caplog
):
    """The first that finds the connection gone ends it; the second hears that it has ended."""
    here = gateway.app.state.gateway
    sequence = await catalog.publish(registered())
    await kit.until(lambda: here.hub.newest >= sequence)
    sending, gone = asyncio.Event(), asyncio.Event()
    messages = iter([{"subscribe": {"after": sequence - 1}}, {"subscribe": "nonsense"}])

    async def receive():
        message = next(messages)
        if message["subscribe"] == "nonsense":
            await sending.wait()
        return {"type": "websocket.receive", "text": json.dumps(message)}

    async def send(message):
        if message["type"] == "websocket.accept":
            return
        if json.loads(message["text"])["type"] == "subscribed":
            sending.set()
            await gone.wait()
            return
        gone.set()
        raise OSError("the client is gone")

    websocket = WebSocket({"type": "websocket", "headers": []}, receive, send)
    websocket.client_state = WebSocketState.CONNECTED
    await websocket.accept()
    with caplog.at_level("WARNING"):
        await asyncio.wait_for(session.Session(websocket, here, 60).run(), 20)
    assert not caplog.records
