"""miStudio on one machine: NATS, Postgres and the services under a supervisor, no containers."""

from .connection import Connection, read_connection
from .errors import (
    AlreadyRunning,
    MissingBinary,
    NotRunning,
    PortTaken,
    StackError,
    StartFailed,
)
from .layout import Layout, default_data_dir
from .links import AtTheEdge, ForAnEdge
from .stack import EmbeddedStack

__all__ = [
    "AlreadyRunning",
    "AtTheEdge",
    "Connection",
    "EmbeddedStack",
    "ForAnEdge",
    "Layout",
    "MissingBinary",
    "NotRunning",
    "PortTaken",
    "StackError",
    "StartFailed",
    "default_data_dir",
    "read_connection",
]
