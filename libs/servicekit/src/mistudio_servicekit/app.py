"""A service as a process: health and metrics over HTTP, signals, exit status."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.specification import AsyncAPI

from mistudio_contracts.base import CONTRACT_VERSION
from mistudio_contracts.errors import MiStudioError, ServiceUnavailable

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


def run(app: ServiceApp, settings: ServiceSettings) -> None:
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
    """
    status = _run(app, settings)
    flush_traces()
    logging.shutdown()
    sys.stdout.flush()
    if _lingering_threads():
        # A thread that works on for minutes would keep the interpreter from ending.
        os._exit(status)
    sys.exit(status)


def _run(app: ServiceApp, settings: ServiceSettings) -> int:
    # asyncio.run would wait for threads that cancelled handlers have left behind.
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(_main(app, settings))
    finally:
        asyncio.set_event_loop(None)


async def _main(app: ServiceApp, settings: ServiceSettings) -> int:
    life = Life(app)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        asked.set()
        watchdog = threading.Timer(FORCED_EXIT_SECONDS, os._exit, args=(1,))
        watchdog.daemon = True
        watchdog.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    connection_of(app.broker).lost = lambda: life.fail(
        ServiceUnavailable("The bus has closed the connection for good.", reason="bus_lost")
    )
    server = _Server(
        uvicorn.Config(
            asgi(life),
            host=settings.health_host,
            port=settings.health_port,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve())
    living = asyncio.create_task(_live(life, asked))
    await asyncio.wait({serving, living}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        life.fail(RuntimeError("the health page cannot be served"))
    await asyncio.gather(living, return_exceptions=True)
    server.should_exit = True
    await asyncio.gather(serving, return_exceptions=True)
    if life.failure is None:
        return 0
    _explain(life.failure)
    return 1


async def _live(life: Life, asked: asyncio.Event) -> None:
    ends = [asyncio.ensure_future(asked.wait()), asyncio.ensure_future(life.failed.wait())]
    service = asyncio.ensure_future(_serve_until(life, ends))
    await asyncio.wait({*ends, service}, return_when=asyncio.FIRST_COMPLETED)
    try:
        await service
    except Exception as error:  # noqa: BLE001 - told by the caller, with its exit status
        life.fail(error)
    finally:
        for end in ends:
            end.cancel()


async def _serve_until(life: Life, ends: list["asyncio.Future[Any]"]) -> None:
    async with alive(life):
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)


def _explain(error: Exception) -> None:
    if isinstance(error, MiStudioError):
        log.critical("Leaving: %s %s", error.message, error.details.get("remedy", ""))
    else:
        log.critical("Leaving after an unexpected error.", exc_info=error)


def _lingering_threads() -> list[threading.Thread]:
    main = threading.main_thread()
    return [each for each in threading.enumerate() if each is not main and not each.daemon]


class _Server(uvicorn.Server):
    """Leaves signals to the service, and says where it listens."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                log.info("Health page.", extra={"url": f"http://{host}:{port}/health/ready"})
