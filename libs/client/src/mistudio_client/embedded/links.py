"""How a stack is joined to another: as the centre that an edge joins, or as the edge."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mistudio_contracts.sites import CENTRE

from .errors import StackError
from .ports import LOOPBACK

LEAF_PORT = 7422
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SCHEMES = ("nats-leaf", "tls", "ws", "wss")


@dataclass(frozen=True)
class ForAnEdge:
    """The NATS server of an edge may join that of this stack.

    Parameters
    ----------
    name
        Of the edge: its JetStream domain, and the user that it joins as.
    host, port
        Where this stack waits for it.

    Raises
    ------
    StackError
        When an edge cannot have that name.
    """

    name: str
    host: str = LOOPBACK
    port: int = LEAF_PORT

    def __post_init__(self) -> None:
        _check(self.name)


@dataclass(frozen=True)
class AtTheEdge:
    """This stack is the edge of another.

    Parameters
    ----------
    url
        Where the centre waits, with the edge's name and password, as the centre prints it:
        ``nats-leaf://name:password@host:port``; ``tls://``, ``ws://`` and ``wss://`` too.

    Raises
    ------
    StackError
        When it is no such address.
    """

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in _SCHEMES or not parts.hostname or not parts.password:
            raise StackError(
                "The centre's address is not of the form nats-leaf://name:password@host:port.",
                remedy="Take it from the centre: `mistudio up --edge NAME` prints it.",
            )
        _check(self.name)

    @property
    def name(self) -> str:
        """Name of this edge: its JetStream domain, and the user that it joins as."""
        return urlsplit(self.url).username or ""

    @property
    def centre(self) -> str:
        """The centre's host and port, without the password."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


Link = ForAnEdge | AtTheEdge


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or name == CENTRE:
        raise StackError(
            f"An edge cannot be called {name!r}.",
            remedy=f"Use letters, digits, - and _, 32 at most, and not {CENTRE!r}.",
        )
