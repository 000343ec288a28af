"""A service as a process: health and metrics over HTTP, signals, exit status."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.specification import AsyncAPI

from mistudio_contracts.base import CONTRACT_VERSION
from mistudio_contracts.errors import MiStudioError, ServiceUnavailable

from . import logs
from .bus import connection_of
from .lifecycle import Life, ServiceApp, alive
from .settings import ServiceSettings
from .telemetry import flush_traces, render_metrics

log = logging.getLogger(__name__)

__all__ = ["ServiceApp", "asgi", "run"]

FORCED_EXIT_SECONDS = 12.0
_TEXT = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
_JSON = {"content-type": "application/json"}


def asgi(life: Life) -> AsgiFastStream:
    """Return the ASGI application with ``/health/live``, ``/health/ready`` and ``/metrics``."""

    @get
    async def live(scope: Any) -> AsgiResponse:
        return AsgiResponse(b'{"alive": true}', 200, headers=_JSON)

    @get
    async def ready(scope: Any) -> AsgiResponse:
        checks = await life.readiness()
        passed = all(checks.values())
        body = json.dumps({"ready": passed, "checks": checks}).encode()
        return AsgiResponse(body, 200 if passed else 503, headers=_JSON)

    @get
    async def metrics(scope: Any) -> AsgiResponse:
        await life.measure()
        return AsgiResponse(render_metrics(life.app.broker), 200, headers=_TEXT)

    return AsgiFastStream(
        life.app.broker,
        logger=None,
        asgi_routes=[
            ("/health/live", live),
            ("/health/ready", ready),
            ("/metrics", metrics),
        ],
        specification=AsyncAPI(title=f"miStudio {life.app.name}", version=CONTRACT_VERSION),
    )


def run(
    app: ServiceApp,
    settings: ServiceSettings,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    """Run a service until SIGTERM or SIGINT, and end the process.

    The health page answers from the first moment. At a signal the service takes no more messages,
    gives the handlers in flight about four seconds, cancels them (their messages come again
    elsewhere), closes, and exits with 0. It exits with 1 when it cannot start, when the bus has
    closed the connection for good, and when a durable consumer is gone.

    Parameters
    ----------
    app
        The service.
    settings
        Where the health page is served.
    new_loop
        Makes the loop that it runs on. One that starts child processes runs on asyncio's own.
    """
    status = _run(app, settings, new_loop)
    flush_traces()
    logs.flush()
    sys.stdout.flush()
    if _lingering_threads():
        # A thread that works on for minutes would keep the interpreter from ending.
        os._exit(status)
    sys.exit(status)


def _run(
    app: ServiceApp,
    settings: ServiceSettings,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> int:
    # asyncio.run would wait for threads that cancelled handlers have left behind.
    loop = new_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(_main(app, settings))
    finally:
        asyncio.set_event_loop(None)


async def _main(app: ServiceApp, settings: ServiceSettings) -> int:
    try:
        listener = _listen(settings.health_host, settings.health_port)
    except OSError as error:
        log.critical("Leaving: the health page cannot be served: %s.", error)
        return 1
    life = Life(app)
    connection_of(app.broker).lost = lambda: life.fail(
        ServiceUnavailable("The bus has closed the connection for good.", reason="bus_lost")
    )
    server = _Server(
        uvicorn.Config(
            asgi(life),
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await _live(life, _signalled())
    server.should_exit = True
    await asyncio.gather(serving, return_exceptions=True)
    if life.failure is None:
        return 0
    _explain(life.failure)
    return 1


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    log.info("Health page.", extra={"host": host, "port": listener.getsockname()[1]})
    return listener


def _signalled() -> asyncio.Event:
    asked = asyncio.Event()

    def stop() -> None:
        if asked.is_set():
            return
        asked.set()
        watchdog = threading.Timer(FORCED_EXIT_SECONDS, os._exit, args=(1,))
        watchdog.daemon = True
        watchdog.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return asked


async def _live(life: Life, asked: asyncio.Event) -> None:
    """Run the service until it is asked to end, or cannot go on; ``life.failure`` says which."""
    ends = asyncio.ensure_future(_first(asked, life.failed))
    service = asyncio.ensure_future(_serve_until(life, ends))
    await asyncio.wait({ends, service}, return_when=asyncio.FIRST_COMPLETED)
    if not life.started:
        # Asked to end while it starts: it may be waiting for the bus.
        service.cancel()
    await asyncio.wait({service})
    ends.cancel()
    if not service.cancelled() and (error := service.exception()):
        life.fail(error)


async def _serve_until(life: Life, ends: "asyncio.Future[None]") -> None:
    async with alive(life):
        await asyncio.wait({ends})


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _explain(error: BaseException) -> None:
    if isinstance(error, MiStudioError):
        log.critical("Leaving: %s %s", error.message, error.details.get("remedy", ""))
    else:
        log.critical("Leaving after an unexpected error.", exc_info=error)


def _lingering_threads() -> list[threading.Thread]:
    main = threading.main_thread()
    return [each for each in threading.enumerate() if each is not main and not each.daemon]


class _Server(uvicorn.Server):
    """Leaves signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
