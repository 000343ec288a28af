"""How clients on this machine find the running stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .files import read_json, write_json
from .layout import Layout, default_data_dir


@dataclass(frozen=True)
class Connection:
    """What ``connection.json`` holds while a stack runs.

    Parameters
    ----------
    url
        The gateway.
    token
        A token with every scope.
    nats_url, database_url
        The servers, with credentials.
    data_dir
        The stack's data directory.
    pids
        Process ids at the time of the start, by program.
    ports
        Ports by purpose.
    leaf_url
        Where an edge joins this stack, with its password; empty where none may.
    centre
        Host and port of the stack that this one is the edge of; empty where it is nobody's.
    """

    url: str
    token: str = field(repr=False)
    nats_url: str = field(repr=False)
    database_url: str = field(repr=False)
    data_dir: str
    pids: Mapping[str, int]
    ports: Mapping[str, int]
    leaf_url: str = field(default="", repr=False)
    centre: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the file's content."""
        return asdict(self)

    def write(self, layout: Layout) -> None:
        """Write the file, readable by its owner only."""
        write_json(layout.connection, self.as_dict())


def read_connection(data_dir: Path | None = None) -> Connection | None:
    """Return the connection of the stack that runs on ``data_dir``.

    Parameters
    ----------
    data_dir
        The data directory; the default one when None.

    Returns
    -------
    Connection or None
        None when no stack has been started there, or it has been stopped.
    """
    found = read_json(Layout.at(data_dir or default_data_dir()).connection)
    return Connection(**found) if found else None
