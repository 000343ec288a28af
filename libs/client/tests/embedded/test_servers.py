"""NATS and Postgres start alone, keep their data, and are closed to strangers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import stat
from pathlib import Path

import asyncpg
import nats
import nats.errors
import psutil
import pytest

from mistudio_client.embedded.binaries import postgres_bin, postgres_package
from mistudio_client.embedded.servers import NatsServer, PostgresServer
from mistudio_client.embedded.servers.account import Account, database_account, reachable_package


async def publish(url: str, payload: bytes) -> None:
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    await stream.publish("kept", payload)
    await connection.close()


async def last_message(url: str) -> bytes | None:
    connection = await nats.connect(url)
    message = await connection.jetstream().get_last_msg("KEPT", "kept")
    await connection.close()
    return message.data


async def execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def jetstream_settings(server: NatsServer) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", server.monitor_port, timeout=5)
    connection.request("GET", "/jsz")
    settings: dict[str, object] = json.loads(connection.getresponse().read())["config"]
    connection.close()
    return settings


class TestNats:
    async def test_keeps_messages_over_a_restart(self, data_dir: Path) -> None:
        with NatsServer(data_dir) as server:
            await publish(server.url, b"one")
        with NatsServer(data_dir) as server:
            assert await last_message(server.url) == b"one"

    async def test_comes_back_on_the_same_port_with_everything_acknowledged_after_a_kill(
        self, data_dir: Path
    ) -> None:
        server = NatsServer(data_dir).start()
        url = server.url
        await publish(url, b"acknowledged")
        server.kill()
        with server:
            assert server.url == url
            assert await last_message(url) == b"acknowledged"

    def test_syncs_each_write_before_it_acknowledges(self, data_dir: Path) -> None:
        with NatsServer(data_dir) as server:
            assert jetstream_settings(server)["sync_always"] is True

    def test_bounds_what_it_stores(self, data_dir: Path) -> None:
        with NatsServer(data_dir, max_file_store=2**30, max_memory_store=2**20) as server:
            settings = jetstream_settings(server)
        assert (settings["max_storage"], settings["max_memory"]) == (2**30, 2**20)

    async def test_takes_payloads_of_eight_megabytes(self, data_dir: Path) -> None:
        with NatsServer(data_dir) as server:
            connection = await nats.connect(server.url)
            assert connection.max_payload == 8 * 1024**2
            await connection.close()

    async def test_refuses_clients_without_the_password(self, data_dir: Path) -> None:
        with (
            NatsServer(data_dir) as server,
            pytest.raises(nats.errors.Error, match="Authorization"),
        ):
            await nats.connect(f"nats://127.0.0.1:{server.port}", allow_reconnect=False)

    def test_ends_a_server_that_an_earlier_run_has_left(self, data_dir: Path) -> None:
        orphan = NatsServer(data_dir).start()
        process = psutil.Process(orphan.pid)
        with NatsServer(data_dir) as server:
            assert server.pid != process.pid
            orphan.stop()
            assert not process.is_running()


class TestPostgres:
    async def test_keeps_rows_and_address_over_a_restart(self, data_dir: Path) -> None:
        with PostgresServer(data_dir) as server:
            url = server.url
            await execute(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        with PostgresServer(data_dir) as server:
            assert server.url == url
            assert await execute(url, "SELECT answer FROM kept") == 42

    async def test_recovers_from_a_killed_postmaster(self, data_dir: Path) -> None:
        server = PostgresServer(data_dir).start()
        await execute(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        server.kill()
        with server:
            assert await execute(server.url, "SELECT answer FROM kept") == 42

    async def test_ends_a_server_that_an_earlier_run_has_left(self, data_dir: Path) -> None:
        orphan = PostgresServer(data_dir).start()
        with PostgresServer(data_dir) as server:
            assert await execute(server.url, "SELECT 1") == 1
            orphan.stop()
            assert await execute(server.url, "SELECT 2") == 2

    async def test_starts_after_initdb_was_killed_half_way(self, data_dir: Path) -> None:
        server = PostgresServer(data_dir)
        server.layout.create()
        home = server.layout.postgres
        (home / "building" / "base").mkdir(parents=True)
        database_account().own(home)
        with server:
            assert await execute(server.url, "SELECT 1") == 1

    async def test_refuses_a_wrong_password(self, data_dir: Path) -> None:
        with PostgresServer(data_dir) as server, pytest.raises(asyncpg.InvalidPasswordError):
            await execute(f"postgresql://mistudio:wrong@127.0.0.1:{server.port}/mistudio", "")

    def test_never_runs_as_root(self, data_dir: Path) -> None:
        with PostgresServer(data_dir) as server:
            assert psutil.Process(server.pid).uids().effective != 0

    def test_listens_on_the_loopback_interface_only(self, data_dir: Path) -> None:
        with PostgresServer(data_dir) as server:
            listening = psutil.Process(server.pid).net_connections("all")
        addresses = [c.laddr for c in listening if c.status == psutil.CONN_LISTEN]
        assert addresses == [("127.0.0.1", server.port)]
        assert not [c for c in listening if getattr(c.family, "name", "") == "AF_UNIX" and c.laddr]

    async def test_lies_elsewhere_when_its_user_cannot_reach_the_data_directory(
        self, open_directory: Path
    ) -> None:
        closed = open_directory / "home"
        closed.mkdir(mode=0o700)
        outside = open_directory / "outside"
        server = PostgresServer(closed / "data", outside=outside)
        with server:
            assert await execute(server.url, "SELECT 1") == 1
        assert server.home is not None
        # An ordinary user's database runs as that user, who reaches everything.
        expected = outside if os.geteuid() == 0 else closed
        assert server.home.is_relative_to(expected)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        server.remove()
        assert not server.home or not server.home.exists()


def test_programs_that_the_databases_user_cannot_reach_are_copied(open_directory: Path) -> None:
    closed = open_directory / "home"
    closed.mkdir(mode=0o700)
    package = postgres_package()
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, closed / source.name)
    account = database_account()
    found = reachable_package(closed / package.name, "i", account, open_directory / "outside")
    done = account.run([str(postgres_bin(found) / "pg_isready"), "--version"])
    assert done.returncode == 0, done.stderr
    assert found.is_relative_to(open_directory / ("outside" if account != Account() else "home"))
