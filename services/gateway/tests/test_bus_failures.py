"""The bus goes away and comes back; so do the gateway's answers and events."""

import asyncio

import httpx
import nats
import pytest

from mistudio_client.embedded.servers import NatsServer
from mistudio_contracts import events
from mistudio_contracts.states import ModelStatus
from mistudio_gateway.services.reader import OrderedReader, read_range
from mistudio_servicekit.provision import provision
from mistudio_servicekit.tasks import cancel


def registered(name):
    return events.ModelRegistered(model_id="m_1", status=ModelStatus.PENDING, name=name)


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


async def test_events_go_on_without_a_gap_after_the_bus_was_killed(server, kit):
    await provision(server.url, ("default",))
    async with (
        kit.running_catalog(server.url) as catalog,
        kit.running_gateway(server.url) as gateway,
        kit.listening(gateway) as listener,
    ):
        await listener.subscribe()
        sent = [await catalog.publish(registered(str(n))) for n in range(3)]
        server.kill()
        server.start()
        while len(sent) < 6:
            try:
                sent.append(await catalog.publish(registered("after")))
            except Exception:  # noqa: BLE001 - until the publisher is connected again
                await asyncio.sleep(0.05)
        got = []
        while got[-1:] != sent[-1:]:
            frame = await listener.next()
            if frame["id"] is not None:
                got.append(frame["id"])
        # A publish that was not confirmed may have been kept: then it is an event like others.
        assert set(sent) <= set(got)
        assert got == list(range(got[0], got[-1] + 1))
        progress = events.ExtractionProgress(
            extraction_id="ext_1",
            model_id="m_1",
            status="extracting",
            progress=1,
            samples_processed=1,
            total_samples=2,
        )
        # The server forgets streams in memory: until they are made again there is no progress.
        await provision(server.url, ("default",))
        await kit.until(lambda: gateway.app.state.gateway.feed.progress_following)
        await catalog.publish(progress)
        assert (await listener.until_type("extraction:progress"))["data"]["progress"] == 1


async def test_a_stream_made_anew_asks_clients_to_begin_again(server, kit):
    await provision(server.url, ("default",))
    async with (
        kit.running_catalog(server.url) as catalog,
        kit.running_gateway(server.url) as gateway,
        kit.listening(gateway) as listener,
    ):
        await catalog.publish(registered("old"))
        await listener.subscribe(after=0)
        await listener.next()
        connection = await nats.connect(server.url)
        await connection.jetstream().delete_stream("EVENTS")
        await connection.close()
        await provision(server.url, ("default",))
        await asyncio.wait_for(listener.connection.wait_closed(), 20)
        assert listener.connection.close_code == 1012
        async with kit.listening(gateway) as again:
            await again.subscribe()
            assert await catalog.publish(registered("new")) == 1
            assert (await again.next())["id"] == 1


async def test_without_a_catalog_requests_are_told_to_come_back(server, kit):
    await provision(server.url, ("default",))
    async with kit.running_gateway(server.url) as gateway:
        headers = {"Authorization": f"Bearer {kit.token()}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
            answer = await client.get("/api/models")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "2"
            assert answer.json()["error"]["details"]["reason"] == "nobody_there"
            ready = await client.get("/health/ready")
            assert ready.json()["checks"] == {"bus": True, "events": True, "progress": True}


async def test_without_a_bus_the_gateway_lives_and_says_why_it_is_not_ready(kit, server):
    url = server.url
    server.stop()
    from mistudio_gateway.config import GatewaySettings
    from mistudio_gateway.factory import create_app

    app = create_app(GatewaySettings(jwt_secret_key=kit.SECRET, nats_url=url))
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {kit.token()}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client,
    ):
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["error"]["details"]["checks"] == {
            "bus": False,
            "events": False,
            "progress": False,
        }
        answer = await client.get("/api/models")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        answer = await client.post("/api/datasets/upload", files={"file": ("f", b"x")})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")


async def test_a_reader_goes_on_when_its_consumer_is_deleted(bus, kit):
    connection = await nats.connect(bus)
    jetstream = connection.jetstream()
    await jetstream.add_stream(name="READER", subjects=["reader.>"])
    got: list[int] = []
    heard = asyncio.Event()

    def handle(record):
        got.append(record.sequence)
        heard.set()

    reader = OrderedReader(lambda: connection, "READER", heartbeat=0.2)
    task = asyncio.create_task(reader.run(handle))
    try:
        for number in range(1, 4):
            await kit.until(lambda: reader.following)
            heard.clear()
            await jetstream.publish("reader.x", b"")
            await asyncio.wait_for(heard.wait(), 15)
            assert got == list(range(1, number + 1))
            for info in await jetstream.consumers_info("READER"):
                await jetstream.delete_consumer("READER", info.name)
    finally:
        await cancel(task)
        await connection.close()


async def test_a_range_is_read_to_its_end_and_no_further(bus):
    connection = await nats.connect(bus)
    jetstream = connection.jetstream()
    await jetstream.add_stream(name="RANGE", subjects=["range.>"])
    acks = [await jetstream.publish_async("range.x", b"") for _ in range(400)]
    await asyncio.wait_for(asyncio.gather(*acks), 20)
    await jetstream.delete_msg("RANGE", 300)

    async def sequences(after, upto):
        return [r.sequence async for r in read_range(connection, "RANGE", after, upto)]

    assert await sequences(10, 20) == list(range(11, 21))
    assert await sequences(0, 299) == list(range(1, 300))
    assert await sequences(290, 300) == list(range(291, 300))
    assert await sequences(295, 400) == [*range(296, 300), *range(301, 401)]
    assert await sequences(100, 356) == [*range(101, 300), *range(301, 357)]
    await jetstream.purge_stream("RANGE")
    assert await sequences(0, 400) == []
    await connection.close()
