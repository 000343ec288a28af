"""The deployed server's users: each service can do its work, and nothing beside it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio

from mistudio_client.embedded.binaries import nats_server
from mistudio_contracts import rpc as messages
from mistudio_contracts import subjects
from mistudio_contracts.commands import LoadModel
from mistudio_contracts.errors import MiStudioError, ServiceUnavailable
from mistudio_contracts.subjects import Kind, Subject
from mistudio_contracts.topology import UPLOADS_BUCKET
from mistudio_servicekit.app import ServiceApp
from mistudio_servicekit.bus import Publisher, create_broker, settled
from mistudio_servicekit.consume import Delivery, consume, listen
from mistudio_servicekit.permissions import SERVICES, render_accounts, users
from mistudio_servicekit.provision import provision
from mistudio_servicekit.render import render_topology
from mistudio_servicekit.rpc import call, serve
from mistudio_servicekit.settings import ServiceSettings
from mistudio_servicekit.testing import running

from .conftest import load, until

INFRA = Path(__file__).parents[3] / "infra" / "nats"
NAMES = [user.name for user in users(["default"])]
PASSWORDS = {f"NATS_{name.upper()}_PASSWORD": f"p-{name}" for name in NAMES}

CONFIG = """
listen: "127.0.0.1:{port}"
max_payload: 8MB
jetstream {{ store_dir: "{store}", max_file_store: 16GB, max_memory_store: 256MB }}
include {accounts}
"""


class Site:
    """A server with the deployed users."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]", accounts: Path) -> None:
        self.port = port
        self._process = process
        self._accounts = accounts

    def dismiss(self, user: str) -> None:
        """Take a user away from the running server."""
        text = self._accounts.read_text()
        self._accounts.write_text(text.replace(f"user: {user}\n", f"user: former-{user}\n"))
        self._process.send_signal(signal.SIGHUP)

    def url(self, user: str) -> str:
        return f"nats://{user}:p-{user}@127.0.0.1:{self.port}"

    def broker(self, service: str) -> Any:
        return create_broker(ServiceSettings(nats_url=self.url(service)), service)

    @contextlib.asynccontextmanager
    async def client(self, user: str) -> AsyncIterator[Any]:
        """A bare connection of a user; ``denied`` collects the server's refusals."""
        denied: list[str] = []

        async def note(error: Exception) -> None:
            denied.append(str(error))

        connection: Any = await nats.connect(
            self.url(user), inbox_prefix=f"_INBOX_{user}", error_cb=note
        )
        connection.denied = denied
        yield connection
        await connection.close()


@pytest.fixture
def bare_site(tmp_path: Path) -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # An include is looked for beside the file that names it.
    accounts = tmp_path / "accounts.conf"
    accounts.write_text(render_accounts())
    config = tmp_path / "nats.conf"
    config.write_text(
        CONFIG.format(port=port, store=tmp_path / "store", accounts="./accounts.conf")
    )
    with subprocess.Popen(
        [str(nats_server()), "-c", str(config)],
        env={**os.environ, **PASSWORDS},
        stderr=subprocess.DEVNULL,
    ) as process:
        yield Site(port, process, accounts)
        process.terminate()


@pytest_asyncio.fixture
async def site(bare_site: Site) -> Site:
    await provision(bare_site.url("provision"), ["default"])
    return bare_site


def test_the_committed_files_are_the_contracts() -> None:
    assert (INFRA / "accounts.conf").read_text() == render_accounts(), _render("accounts")
    assert (INFRA / "streams.yaml").read_text() == render_topology(), _render("topology")


def _render(command: str) -> str:
    return f"render it anew: python -m mistudio_servicekit {command}"


def test_the_deployed_configuration_is_valid_and_syncs_every_write() -> None:
    subprocess.run(
        [str(nats_server()), "-t", "-c", str(INFRA / "nats-server.conf")],
        env={**os.environ, **PASSWORDS},
        check=True,
        capture_output=True,
    )
    text = (INFRA / "nats-server.conf").read_text()
    assert "sync_interval: always" in text
    assert "max_payload: 8MB" in text


def test_the_command_prints_what_is_committed() -> None:
    for command, name in (("accounts", "accounts.conf"), ("topology", "streams.yaml")):
        printed = subprocess.run(
            [sys.executable, "-m", "mistudio_servicekit", command],
            check=True,
            capture_output=True,
            text=True,
        )
        assert printed.stdout == (INFRA / name).read_text()


@pytest.mark.parametrize("service", ["catalog", "loader", "extractor"])
async def test_a_service_handles_everything_it_reads(site: Site, service: str) -> None:
    """Its consumers, its dead letters, its requests and their answers, its live subjects."""
    broker = site.broker(service)
    kept: list[Subject] = [s for s in subjects.ALL if s.reader == service and s.stream]
    requests = [s for s in subjects.ALL if s.reader == service and s.kind is Kind.REQUEST]
    live = [s for s in subjects.ALL if s.reader == service and s.kind in (Kind.LIVE, Kind.CONTROL)]

    async def fail(payload: Any, delivery: Delivery) -> None:
        raise KeyError("to the dead letters with it")

    heard: list[Any] = []

    async def hear(payload: Any) -> None:
        heard.append(payload)

    async def answer(payload: Any) -> Any:
        raise AssertionError("never reached with such a body")

    for subject in kept:
        consume(broker, subject, fail)
    for subject in live:
        listen(broker, subject, hear, shared=True)
    for subject in requests:
        serve(broker, subject, answer)
    async with site.client("provision") as admin, running(ServiceApp(service, broker)) as life:
        stream = admin.jetstream()
        async with _everyone(site) as writers:
            for subject in kept:
                writer = writers[_writer(subject)]
                await writer.jetstream().publish(subject.name(), b"{", stream=subject.stream)
            for subject in requests:
                asker = writers[_writer(subject)]
                reply = await asker.request(subject.name(), b"{", timeout=5)
                assert b"VALIDATION_ERROR" in reply.data
            for writer in writers.values():
                assert writer.denied == []

        async def all_dead() -> bool:
            return bool((await stream.stream_info("DEAD")).state.messages == len(kept))

        await until(all_dead)
        assert life.failure is None


@contextlib.asynccontextmanager
async def _everyone(site: Site) -> AsyncIterator[dict[str, Any]]:
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(site.client(name))
            for name in (*SERVICES, "client")
        }


def _writer(subject: Subject) -> str:
    return "client" if subject.publisher == "anyone" else subject.publisher


async def test_the_catalog_publishes_every_event_order_and_control(site: Site) -> None:
    broker = site.broker("catalog")
    client = await broker.connect()
    for subject in subjects.ALL:
        if subject.publisher == "catalog" and subject.stream:
            await broker.publish(b"{}", subject.name(), stream=subject.stream, timeout=5.0)
        elif subject.publisher == "catalog":
            await broker.publish(b"{}", subject.name())
    await settled(client)
    await broker.stop()


async def test_the_catalog_looks_at_every_queue_and_at_the_dead_letters(site: Site) -> None:
    async with site.client("provision") as admin:
        await admin.jetstream().publish("dead.work.default.model.place", b"{}")
    async with site.client("catalog") as catalog:
        stream = catalog.jetstream(timeout=5)
        await stream.publish("work.default.model.place", b"{}", stream="WORK")
        for name in ("COMMANDS", "WORK", "REPORTS"):
            assert await stream.consumers_info(name)
        durable = subjects.WORK_PLACE.durable("default")
        assert (await stream.consumer_info("WORK", durable)).num_pending == 1
        oldest = await stream.get_msg("WORK", 1, subject="work.default.model.place", next=True)
        assert oldest.data == b"{}"
        assert (await stream.stream_info("DEAD")).state.messages == 1
        assert catalog.denied == []


async def test_a_denied_publish_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mistudio_servicekit.bus.PUBLISH_TIMEOUT", 0.5)
    broker = site.broker("loader")
    await broker.connect()
    with pytest.raises(ServiceUnavailable, match="may not publish") as caught:
        await Publisher(broker, "loader").publish(subjects.MODEL_LOAD, load(), entity_id="m")
    assert caught.value.details["reason"] == "permission_denied"
    await broker.stop()


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("loader", "model.ready"),
        ("loader", "work.default.model.place"),
        ("extractor", "report.model.prepared"),
        ("extractor", "$JS.API.CONSUMER.MSG.NEXT.WORK.loader-work-default-model-prepare"),
        ("extractor", "$JS.API.STREAM.DELETE.WORK"),
        ("gateway", "model.ready"),
        ("gateway", "$JS.API.CONSUMER.CREATE.WORK.x"),
        ("gateway", "work.default.model.prepare"),
        ("client", "rpc.catalog.model.delete"),
        ("client", "$JS.API.STREAM.PURGE.EVENTS"),
        ("catalog", "$JS.API.STREAM.DELETE.EVENTS"),
        ("provision", "model.ready"),
    ],
)
async def test_nobody_publishes_what_is_not_theirs(site: Site, user: str, subject: str) -> None:
    async with site.client(user) as client:
        await client.publish(subject, b"{}")
        await settled(client)
        await until(lambda: client.denied)
        assert f'"{subject}"'.lower() in client.denied[0].lower()


@pytest.mark.parametrize("user", NAMES)
async def test_nobody_listens_to_everything(site: Site, user: str) -> None:
    async with site.client(user) as client:
        await client.subscribe(">")
        await settled(client)
        await until(lambda: client.denied)


async def test_other_services_command_and_follow(site: Site) -> None:
    catalog = site.broker("catalog")
    got: list[LoadModel] = []

    async def handle(payload: LoadModel, delivery: Delivery) -> None:
        got.append(payload)

    consume(catalog, subjects.MODEL_LOAD, handle)
    async with running(ServiceApp("catalog", catalog)), site.client("client") as client:
        following = await client.subscribe("model.deleted")
        await settled(client)
        await client.jetstream().publish("model.load.requested", load().model_dump_json().encode())
        await until(lambda: got)
        await catalog.publish(b"{}", "model.deleted", stream="EVENTS", timeout=5.0)
        assert (await following.next_msg(5)).data == b"{}"
        assert client.denied == []


async def test_a_request_goes_to_and_fro(site: Site) -> None:
    catalog, gateway = site.broker("catalog"), site.broker("gateway")

    async def answer(request: Any) -> messages.Done:
        return messages.Done()

    serve(catalog, subjects.RPC_CACHE_EVICT, answer)
    async with running(ServiceApp("catalog", catalog)), running(ServiceApp("gateway", gateway)):
        request = messages.EvictCacheRequest(cache_id="act_1")
        assert await call(gateway, subjects.RPC_CACHE_EVICT, request) == messages.Done()
        with pytest.raises(MiStudioError):
            await call(catalog, subjects.RPC_CACHE_EVICT, request, timeout=0.3)


async def test_uploads_go_from_the_gateway_to_the_loader(site: Site) -> None:
    async with site.client("gateway") as gateway, site.client("loader") as loader:
        bucket = await gateway.jetstream().object_store(UPLOADS_BUCKET)
        await bucket.put("u1", b"x" * 300_000)
        await bucket.put("u2", b"y")
        await bucket.delete("u2")
        theirs = await loader.jetstream().object_store(UPLOADS_BUCKET)
        assert (await theirs.get("u1")).data == b"x" * 300_000
        await theirs.delete("u1")
        acknowledged = await gateway.jetstream().publish_async(
            f"$O.{UPLOADS_BUCKET}.C.x", b"z", stream=f"OBJ_{UPLOADS_BUCKET}"
        )
        await until(acknowledged.done)
        assert gateway.denied == loader.denied == []


async def test_the_gateway_replays_events_in_order(site: Site) -> None:
    catalog = site.broker("catalog")
    await catalog.connect()
    for _ in range(3):
        await catalog.publish(b"{}", "model.deleted", stream="EVENTS", timeout=5.0)
    await catalog.stop()
    async with site.client("gateway") as gateway:
        stream = gateway.jetstream()
        replay = await stream.subscribe("model.>", stream="EVENTS", ordered_consumer=True)
        assert [(await replay.next_msg(5)).metadata.sequence.stream for _ in range(3)] == [1, 2, 3]
        await replay.unsubscribe()
        assert (await stream.stream_info("EVENTS")).state.messages == 3
        assert gateway.denied == []


async def test_a_service_whose_user_is_taken_away_cannot_go_on(site: Site) -> None:
    broker = site.broker("catalog")

    async def handle(payload: Any, delivery: Delivery) -> None:
        raise AssertionError("nothing comes")

    consume(broker, subjects.MODEL_LOAD, handle)
    async with running(ServiceApp("catalog", broker)) as life:
        site.dismiss("catalog")
        await asyncio.wait_for(life.failed.wait(), 20)
        assert not (await life.readiness())["nats"]
    assert "for good" in str(life.failure)


async def test_a_wrong_password_is_known_at_once(site: Site) -> None:
    url = f"nats://catalog:wrong@127.0.0.1:{site.port}"
    broker = create_broker(ServiceSettings(nats_url=url), "catalog")
    with pytest.raises(ServiceUnavailable, match="refuses this service's user"):
        async with running(ServiceApp("catalog", broker)):
            pass
