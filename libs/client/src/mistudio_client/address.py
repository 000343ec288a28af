"""Where the gateway is and which token opens it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from .errors import InvalidArgument, Unreachable

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Address:
    """The gateway's URL, without a path at the end, and an access token."""

    url: str
    token: str = field(repr=False)

    @property
    def is_local(self) -> bool:
        """Whether the gateway listens on this machine, so that no proxy leads to it."""
        return urlsplit(self.url).hostname in _LOOPBACK

    @property
    def socket_url(self) -> str:
        """The WebSocket's URL."""
        return self.url.replace("http", "ws", 1) + "/ws"

    def sign_in_url(self, path: str = "/") -> str:
        """Return a link that opens the web UI signed in.

        The token is in the fragment, which a browser sends to nobody and the page removes.

        Parameters
        ----------
        path
            Of a page, such as ``/activations/act_…``.
        """
        return f"{self.url}{path}#{urlencode({'token': self.token})}"


def find_address(
    url: str | None = None, token: str | None = None, environ: Mapping[str, str] | None = None
) -> Address:
    """Return where to connect.

    Parameters
    ----------
    url, token
        What the caller named; else ``MISTUDIO_URL`` and ``MISTUDIO_TOKEN``; else what the stack
        running on this machine wrote down.
    environ
        The environment; the process's own by default.

    Raises
    ------
    Unreachable
        With reason ``not_running`` when nothing is named and no local stack runs.
    InvalidArgument
        When the URL is not an HTTP one.
    """
    environment = os.environ if environ is None else environ
    url = url or environment.get("MISTUDIO_URL") or None
    token = token or environment.get("MISTUDIO_TOKEN") or None
    if url is None:
        local = local_address()
        url, token = local.url, token or local.token
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidArgument(
            f"{url} is not the URL of a miStudio service.",
            field="url",
            reason="not_http",
            remedy="Give one such as http://127.0.0.1:8420.",
        )
    return Address(url.rstrip("/"), token or "")


def local_address(data_dir: Path | None = None) -> Address:
    """Return where the stack of this machine listens.

    Parameters
    ----------
    data_dir
        Its data directory; the default one when None.

    Raises
    ------
    Unreachable
        With reason ``not_running`` when none runs there.
    """
    # Late: a client of a remote service has no use for the embedded stack's modules.
    from .embedded.connection import read_connection

    found = read_connection(data_dir)
    if found is None:
        raise Unreachable(
            "miStudio is not running on this machine.",
            reason="not_running",
            remedy="Start it with: mistudio up, or name another with --url or MISTUDIO_URL.",
        )
    return Address(found.url, found.token)
