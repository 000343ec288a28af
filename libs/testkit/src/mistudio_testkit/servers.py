"""Where the tests' real servers come from.

In this order: servers named by environment variables (``MISTUDIO_TEST_NATS_URL``,
``MISTUDIO_TEST_DATABASE_URL``); containers where an engine answers and
``MISTUDIO_TEST_CONTAINERS`` is set; else the embedded wheels. The tests are the same, and none
skips.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def nats_server(data_dir: Path) -> Iterator[str]:
    """Yield the URL of a NATS server with JetStream."""
    named = os.environ.get("MISTUDIO_TEST_NATS_URL")
    if named:
        yield named
        return
    if os.environ.get("MISTUDIO_TEST_CONTAINERS"):
        from testcontainers.nats import NatsContainer

        with NatsContainer("nats:2.12", jetstream=True) as container:
            yield container.nats_uri()
        return
    from mistudio_client.embedded.servers import NatsServer

    server = NatsServer(data_dir)
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
    from mistudio_client.embedded.servers import PostgresServer

    server = PostgresServer(data_dir)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
        # As root its files lie outside the test's directory, which an ordinary user cannot enter.
        server.remove()
