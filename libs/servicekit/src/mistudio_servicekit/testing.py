"""Run a service inside the test's own process, against a real bus."""

import contextlib
from collections.abc import AsyncIterator

from .bus import connection_of
from .lifecycle import Life, ServiceApp, alive


@contextlib.asynccontextmanager
async def running(app: ServiceApp) -> AsyncIterator[Life]:
    """Start ``app`` and stop it at the end, as the process would, but for HTTP and signals.

    Yields
    ------
    Life
        With ``readiness()``, and ``failed``/``failure`` for a service that could not go on.
    """
    life = Life(app)
    connection_of(app.broker).lost = lambda: life.fail(
        ConnectionError("the bus has closed the connection for good")
    )
    async with alive(life):
        yield life
