"""The gateway works with no more than its own bus user may do."""

from __future__ import annotations

import httpx
import nats
import pytest

from mistudio_contracts import events
from mistudio_contracts.states import ModelStatus
from mistudio_servicekit.bus import connection_of
from mistudio_servicekit.provision import provision
from mistudio_testkit.accounts import deployed_accounts


@pytest.fixture
def accounts(tmp_path):
    with deployed_accounts(tmp_path) as running:
        yield running


async def test_events_replay_uploads_and_downloads_need_no_more(accounts, kit):
    url = accounts.url
    await provision(url("provision"), ("default",))
    async with kit.running_catalog(url("catalog")) as catalog:
        event = events.ModelRegistered(model_id="m_1", status=ModelStatus.PENDING, name="n")
        sent = [await catalog.publish(event) for _ in range(9)]
        async with (
            kit.running_gateway(url("gateway"), ring_events=2, max_upload_bytes=10) as gateway,
            kit.listening(gateway) as listener,
        ):
            await listener.subscribe(after=0)
            assert [(await listener.next())["id"] for _ in sent] == sent
            headers = {"Authorization": f"Bearer {kit.token()}"}
            async with httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
                for content, status in ((b"x", 201), (b"x" * 11, 413)):
                    answer = await client.post(
                        "/api/datasets/upload", files={"file": ("f", content)}
                    )
                    assert answer.status_code == status, answer.text
                catalog.answers["rpc.catalog.dataset.register"] = lambda r: kit.dataset()
                answer = await client.post("/api/datasets/upload", files={"file": ("f", b"x")})
                assert answer.status_code == 201
                assert (await client.get("/health/ready")).json()["status"] == "ok"
            assert connection_of(gateway.app.state.gateway.broker).denied == []
        connection = await nats.connect(url("provision"), inbox_prefix="_INBOX_provision")
        for stream in ("EVENTS", "PROGRESS"):
            assert await connection.jetstream().consumers_info(stream) == []
        await connection.close()
