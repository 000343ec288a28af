"""The process: its document, its health, its page, its start and its end."""

import asyncio
import json
import os
import re
import signal
import sys

import httpx
import pytest
import uvicorn
from pydantic import ValidationError

from mistudio_gateway.config import GatewaySettings
from mistudio_gateway.factory import create_app
from mistudio_gateway.main import server_options

ENVIRONMENT = {"PATH": os.environ["PATH"], "JWT_SECRET_KEY": "x" * 32}


def test_the_document_needs_no_environment_and_declares_every_answer(monkeypatch):
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    document = create_app(GatewaySettings.ephemeral()).openapi()
    assert "HTTPValidationError" not in json.dumps(document)
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api") and not path.endswith("/archive")
    ]
    assert len(operations) == 40
    for path, method, operation in operations:
        where = f"{method} {path}"
        assert {"400", "401", "403", "500", "503"} <= set(operation["responses"]), where
        assert operation["security"] == [{"bearer": [operation["x-required-scope"]]}], where
        assert "{" not in path or path.count("{") == 1 or "404" in operation["responses"], where
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorResponse"}, where
    by_ticket = document["paths"]["/api/activations/{cache_id}/archive"]["get"]
    assert {"400", "401", "404", "500", "503"} <= set(by_ticket["responses"])
    assert "security" not in by_ticket
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("proxy", "scheme", "told"),
    [
        ("127.0.0.1", "https", "max-age=31536000"),
        ("127.0.0.1", "http", None),
        ("203.0.113.7", "https", None),
    ],
    ids=["by https", "by http", "says one whom nobody trusts"],
)
async def test_browsers_that_came_by_https_come_by_nothing_else(monkeypatch, proxy, scheme, told):
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    config = uvicorn.Config(create_app(GatewaySettings.ephemeral()), **server_options())
    config.load()
    transport = httpx.ASGITransport(config.loaded_app, client=(proxy, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/health/live", headers={"X-Forwarded-Proto": scheme})
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers.get("Strict-Transport-Security") == told


def test_a_short_secret_is_refused():
    with pytest.raises(ValidationError, match="32 bytes"):
        GatewaySettings(jwt_secret_key="short")


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("JWT_SECRET_KEY", "x" * 32)
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example/, https://b.example")
    monkeypatch.setenv("MISTUDIO_POOL", "edge")
    monkeypatch.setenv("WEB_DIR", str(tmp_path))
    settings = GatewaySettings()
    assert settings.cors_origins == ["https://a.example", "https://b.example"]
    assert (settings.pool, settings.web_dir) == ("edge", tmp_path)
    assert "x" * 32 not in repr(settings)


async def test_health_and_metrics_need_no_token(gateway, catalog, http):
    await http.get("/api/models/m_1")
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/health/live")).json()["status"] == "ok"
        ready = (await client.get("/health/ready")).json()
        assert ready == {
            "status": "ok",
            "checks": {"bus": True, "events": True, "progress": True},
        }
        await client.request("PROPFIND", "/api/models")
        text = (await client.get("/metrics")).text
    assert 'route="/api/models/{model_id}",status="200"' in text
    assert "mistudio_gateway_websocket_clients" in text
    assert 'method="other"' in text
    assert "PROPFIND" not in text, "whatever word a client sends, it makes no series of its own"
    assert "m_1" not in text


async def test_the_gauge_of_clients_counts_them(gateway, catalog, kit):
    gauge = gateway.app.state.gateway.metrics.clients
    await kit.until(lambda: gauge._value.get() == 0)
    async with kit.listening(gateway) as listener:
        await listener.subscribe()
        assert gauge._value.get() == 1
    await kit.until(lambda: gauge._value.get() == 0)


async def test_torch_and_sql_are_never_imported():
    program = (
        "import sys, mistudio_gateway.main as m;"
        "print([n for n in ('torch', 'transformers', 'numpy', 'asyncpg') if n in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.decode().strip() == "[]"


async def test_the_process_serves_and_ends_when_told_to(bus, kit):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mistudio_gateway",
        env={**ENVIRONMENT, "NATS_URL": bus, "GATEWAY_PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    port = None
    while port is None:
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        assert line["service"] == "gateway"
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line["message"])
        port = found and found.group(1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/api/models")).status_code == 401
    process.send_signal(signal.SIGTERM)
    rest, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in rest.splitlines()]
    [line] = [line for line in lines if line.get("route") == "/api/models"]
    assert (line["method"], line["status"], line["actor"]) == ("GET", 401, None)
    assert line["trace_id"]


@pytest.mark.parametrize("hard", [4000, 1500])
async def test_a_process_may_open_a_file_for_each_client_as_far_as_it_is_let(hard):
    program = (
        "import resource, mistudio_gateway.transport as t;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}));"
        "t.allow_files(1000);"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, warned = await process.communicate()
    assert output.split() == [str(min(2000, hard)).encode(), str(hard).encode()]
    assert bool(warned) is (hard < 2000)


async def test_a_process_without_a_secret_says_so():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mistudio_gateway",
        env={"PATH": os.environ["PATH"]},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"jwt_secret_key" in errors
    assert b"Traceback" not in errors
