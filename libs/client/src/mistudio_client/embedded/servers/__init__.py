"""NATS and Postgres, each startable alone or under the stack's supervisor."""

from .base import EmbeddedServer, LaunchSpec
from .nats import NatsServer
from .postgres import PostgresServer

__all__ = ["EmbeddedServer", "LaunchSpec", "NatsServer", "PostgresServer"]
