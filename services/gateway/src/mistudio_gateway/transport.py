"""Connections: a file for each client, and none kept by a client that takes nothing from it."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = logging.getLogger(__name__)

LINGER_SECONDS = 15.0
"""How long what was sent last, the close frame with its code, may take to be read."""

KERNEL_BYTES = 64 * 1024
"""That wait in the kernel, beyond what the client's side has room for."""

SPARE_FILES = 1000
"""For requests, the bus, logs and libraries, beside a file for each WebSocket client."""


class WebSockets(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which lets go of a client that does not read.

    Closing a transport waits until the other side has taken what was written. Of a client that
    takes nothing the connection, its buffers and its file would stay for ever.
    """

    _letting_go: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Else the kernel keeps megabytes for a client that does not read.
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_BYTES
        )

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._letting_go is not None:
            self._letting_go.cancel()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._let_go()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._let_go()

    def _let_go(self) -> None:
        if self._letting_go is None and not self.disconnected:
            self._letting_go = self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def allow_files(clients: int) -> None:
    """Let this process open a file for each of so many clients, as far as it may.

    Where the hard limit is lower, that is logged: clients beyond it cannot connect.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = clients + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        log.warning(
            "fewer files may be open than clients may come; raise the hard limit of open files",
            extra={"limit": hard, "needed": needed},
        )
        needed = hard
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
