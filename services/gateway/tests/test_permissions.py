"""The gateway works with no more than its own bus user may do."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import nats
import pytest

from mistudio_client.embedded.binaries import nats_server
from mistudio_contracts import events
from mistudio_contracts.states import ModelStatus
from mistudio_servicekit.bus import connection_of
from mistudio_servicekit.permissions import render_accounts
from mistudio_servicekit.provision import provision

USERS = ("catalog", "loader", "extractor", "gateway", "provision", "client")
CONFIG = """\
port: {port}
max_payload: 8MB
jetstream {{ store_dir: {store}, max_file_store: 16GB, max_memory_store: 256MB }}
include ./accounts.conf
"""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server with the deployment's accounts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "accounts.conf").write_text(render_accounts())
    config = tmp_path / "nats.conf"
    config.write_text(CONFIG.format(port=port, store=tmp_path / "store"))
    passwords = {f"NATS_{user.upper()}_PASSWORD": f"secret-of-{user}" for user in USERS}
    with subprocess.Popen(
        [str(nats_server()), "-c", str(config)],
        env={**os.environ, **passwords},
        stderr=subprocess.DEVNULL,
    ) as process:
        yield port
        process.terminate()


async def test_events_replay_uploads_and_downloads_need_no_more(port, kit):
    def url(user):
        return f"nats://{user}:secret-of-{user}@127.0.0.1:{port}"

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
