"""The process: settings from the environment, logs as JSON, uvicorn."""

from __future__ import annotations

import gc
import signal
import sys
from typing import Any

import uvicorn
from pydantic import ValidationError

from mistudio_servicekit import logs
from mistudio_servicekit.telemetry import flush_traces

from .config import GatewaySettings
from .factory import create_app
from .transport import WebSockets, allow_files

YOUNG_OBJECTS = 50_000
MIB = 1024 * 1024
MOST_MESSAGE_BYTES = 2 * MIB
"""Of a WebSocket client: a subscription to ten thousand ids."""


def server_options() -> dict[str, Any]:
    """Return uvicorn's options, but for the address."""
    return {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ws": WebSockets,
        "ws_max_size": MOST_MESSAGE_BYTES,
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 20.0,
        "ws_per_message_deflate": False,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 5,
    }


def main() -> None:
    """Serve until told to stop."""
    try:
        settings = GatewaySettings()
    except ValidationError as error:
        sys.stderr.write(f"The gateway cannot start: {error}\n")
        raise SystemExit(2) from error
    logs.configure("gateway", settings.log_level)
    allow_files(settings.socket_clients)
    # A request makes hundreds of objects and drops them; what thousands of clients hold need not be
    # looked through each time.
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    # uvicorn ends by the signal that it was sent, which would leave no moment to send what is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        uvicorn.run(
            create_app(settings),
            host=settings.gateway_host,
            port=settings.gateway_port,
            **server_options(),
        )
    finally:
        flush_traces()
        logs.flush()
