"""Where the tests' real servers come from.

In this order: servers named by environment variables (``MISTUDIO_TEST_NATS_URL``,
``MISTUDIO_TEST_DATABASE_URL``); containers where an engine answers and
``MISTUDIO_TEST_CONTAINERS`` is set; else the embedded wheels. The tests are the same, and none
skips.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mistudio_client.embedded.servers import NatsServer, PostgresServer


def begin_with(server: NatsServer, store: Path) -> NatsServer:
    """Give a server that has not been started yet a copy of what another one has kept."""
    shutil.copytree(store, server.layout.nats, dirs_exist_ok=True)
    return server


@contextmanager
def nats_server(data_dir: Path, store: Path | None = None) -> Iterator[str]:
    """Yield the URL of a NATS server with JetStream.

    Parameters
    ----------
    data_dir
        Where an embedded server keeps everything.
    store
        What an embedded server has from the beginning: streams and consumers, provisioned once.
    """
    named = os.environ.get("MISTUDIO_TEST_NATS_URL")
    if named:
        yield named
        return
    if os.environ.get("MISTUDIO_TEST_CONTAINERS"):
        from testcontainers.nats import NatsContainer

        with NatsContainer("nats:2.12", jetstream=True) as container:
            yield container.nats_uri()
        return
    server = NatsServer(data_dir)
    if store is not None:
        begin_with(server, store)
    server.start()
    try:
        yield server.url
    finally:
        # Nobody reads what it leaves, and an orderly end takes longer than many a test.
        server.kill()


@contextmanager
def postgres_server(data_dir: Path) -> Iterator[str]:
    """Yield the URL of a Postgres server, with the right to create databases."""
    named = os.environ.get("MISTUDIO_TEST_DATABASE_URL")
    if named:
        yield named
        return
    if os.environ.get("MISTUDIO_TEST_CONTAINERS"):
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer("postgres:17", driver=None) as container:
            yield container.get_connection_url()
        return
    server = PostgresServer(data_dir)
    _expect_no_power_cut(server)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
        # As root its files lie outside the test's directory, which an ordinary user cannot enter.
        server.remove()


def _expect_no_power_cut(server: PostgresServer) -> None:
    """Let a database forget what the machine it runs on would not outlive: it lasts minutes."""
    server.layout.create()
    server.prepare()
    assert server.cluster is not None
    with (server.cluster / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
        settings.write("fsync = off\nfull_page_writes = off\nautovacuum = off\n")
