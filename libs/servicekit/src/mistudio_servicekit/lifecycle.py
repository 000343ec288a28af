"""From nothing to serving and back: the steps of a service's life, without its process."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import nats.errors
from faststream.nats import NatsBroker
from faststream.nats.subscriber.usecases import CoreSubscriber
from nats.aio.subscription import Subscription
from nats.js.errors import NotFoundError

from mistudio_contracts.errors import ServiceUnavailable

from .bus import HANDLER_GRACE, settled
from .durable import durables_of
from .tasks import cancel
from .telemetry import metrics_of

log = logging.getLogger(__name__)

Hook = Callable[[], Awaitable[Any]]
Check = Callable[[], Awaitable[bool]]

CONNECT_SECONDS = 60.0
PROVISION_SECONDS = 30.0
WATCH_EVERY = 5.0
CHECK_SECONDS = 2.0
DRAIN_SECONDS = 1.0
HOOKS_SECONDS = 3.0
CLOSE_SECONDS = 3.0


@dataclass
class ServiceApp:
    """A service, wired and not yet running.

    Parameters
    ----------
    name
        The service.
    broker
        With its subscribers registered.
    on_start
        Run one after another before the broker connects: open the database, say.
    on_started
        Run when subscribers are running: start background tasks, reconcile.
    on_stop
        Run when handlers have ended and the bus is still connected. All of them run, whatever
        one of them raises, and also after a start that failed half-way.
    ready
        Checks by name, beside those of the bus.
    measures
        What is read only when somebody looks at the metrics, by name: it costs nothing while nobody
        does. One that raises shows nothing stale.
    """

    name: str
    broker: NatsBroker
    on_start: list[Hook] = field(default_factory=list)
    on_started: list[Hook] = field(default_factory=list)
    on_stop: list[Hook] = field(default_factory=list)
    ready: dict[str, Check] = field(default_factory=dict)
    measures: dict[str, Hook] = field(default_factory=dict)


class Life:
    """A running service. ``failed`` is set, with ``failure``, when it cannot go on.

    Parameters
    ----------
    app
        The service.
    watch_every
        Seconds between two looks at the durable consumers.
    """

    def __init__(self, app: ServiceApp, watch_every: float = WATCH_EVERY) -> None:
        self.app = app
        self._watch_every = watch_every
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None
        self.started = False
        self._missing: set[str] = set()

    def fail(self, error: BaseException) -> None:
        """Say that the service cannot go on; whoever runs it ends it."""
        if self.failure is None:
            self.failure = error
        self.failed.set()

    async def readiness(self) -> dict[str, bool]:
        """Return each check's outcome; the service is ready when all are true."""
        connection = self.app.broker._connection
        checks = {
            "started": self.started and self.failure is None,
            "nats": connection is not None and bool(connection.is_connected),
            "consumers": not self._missing,
        }
        for name, check in self.app.ready.items():
            checks[name] = await _passes(name, check)
        return checks

    async def measure(self) -> None:
        """Read what only whoever looks at the metrics wants to know."""
        if not self.started:
            return
        measures = self.app.measures
        read = await asyncio.gather(*(_read(name, each) for name, each in measures.items()))
        for name, done in zip(measures, read, strict=True):
            metrics_of(self.app.broker).measured.labels(name).set(done)

    async def start(self) -> None:
        """Run the start hooks, connect, and take messages."""
        for hook in self.app.on_start:
            await hook()
        try:
            await asyncio.wait_for(self.app.broker.connect(), CONNECT_SECONDS)
        except (asyncio.TimeoutError, nats.errors.Error, OSError) as error:
            raise _no_answer() from error
        await self._wait_for_consumers()
        await self.app.broker.start()
        await settled(self.app.broker.connection)
        for hook in self.app.on_started:
            await hook()
        self.started = True
        log.info("Started.")

    async def _wait_for_consumers(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PROVISION_SECONDS
        while True:
            try:
                missing = await self.missing_consumers()
            except (asyncio.TimeoutError, nats.errors.Error) as error:
                if loop.time() > deadline:
                    raise _no_answer() from error
                missing = {"unknown"}
            if not missing:
                return
            if loop.time() > deadline:
                raise _not_provisioned(missing)
            log.warning("Waiting for consumers.", extra={"missing": sorted(missing)})
            await asyncio.sleep(1.0)

    async def missing_consumers(self) -> set[str]:
        """Ask the server for each durable consumer; return those it does not have.

        Raises
        ------
        asyncio.TimeoutError, nats.errors.Error
            When the server does not answer.
        """
        missing: set[str] = set()
        for subscriber in durables_of(self.app.broker):
            try:
                await subscriber.inspect()
            except NotFoundError:
                missing.add(subscriber.durable)
        self._missing = missing
        return missing

    async def watch(self) -> None:
        """Look after the durable consumers: the service ends when one of them is gone.

        Nobody makes a deleted one again while the service runs, and nothing else tells. One that
        comes back until the next look is forgiven.
        """
        before: set[str] = set()
        while True:
            await asyncio.sleep(self._watch_every)
            try:
                missing = await self.missing_consumers()
            except (asyncio.TimeoutError, nats.errors.Error) as error:
                log.warning("The bus does not answer.", extra={"error": str(error)})
                continue
            if gone := missing & before:
                self.fail(_not_provisioned(gone))
                return
            before = missing

    async def stop(self) -> None:
        """Take no more messages, let handlers end, run the stop hooks, close the connection."""
        self.started = False
        broker = self.app.broker
        await asyncio.gather(*(_stop_subscriber(broker, each) for each in broker.subscribers))
        for hook in self.app.on_stop:
            try:
                await asyncio.wait_for(hook(), HOOKS_SECONDS)
            except Exception:
                log.exception("A stop hook failed.")
        try:
            await asyncio.wait_for(broker.stop(), CLOSE_SECONDS)
        except (asyncio.TimeoutError, nats.errors.Error) as error:
            log.warning("The connection did not close in order.", extra={"error": str(error)})
        log.info("Stopped.")


@contextlib.asynccontextmanager
async def alive(life: Life) -> AsyncIterator[Life]:
    """Start a service, look after it, and stop it at the end."""
    watch: asyncio.Task[None] | None = None
    try:
        await life.start()
        watch = asyncio.create_task(life.watch())
        yield life
    finally:
        await cancel(watch)
        await life.stop()


async def _stop_subscriber(broker: NatsBroker, subscriber: Any) -> None:
    try:
        if isinstance(subscriber, CoreSubscriber) and subscriber.subscription is not None:
            with contextlib.suppress(asyncio.TimeoutError, nats.errors.Error):
                await asyncio.wait_for(_drain(broker, subscriber.subscription), DRAIN_SECONDS)
            subscriber.subscription = None
        await asyncio.wait_for(subscriber.stop(), HANDLER_GRACE + 2.0)
    except Exception as error:  # noqa: BLE001 - the others must stop too
        log.warning("A subscriber did not stop in order.", extra={"error": repr(error)})


async def _drain(broker: NatsBroker, subscription: Subscription) -> None:
    # First out of the server's list, so that another replica gets the next request. The client's
    # own drain begins with that too, but does not wait until the server knows.
    await broker.connection._send_unsubscribe(subscription._id)
    await settled(broker.connection)
    await subscription.drain()


async def _passes(name: str, check: Check) -> bool:
    try:
        return bool(await asyncio.wait_for(check(), CHECK_SECONDS))
    except Exception as error:  # noqa: BLE001 - a check that fails says: not ready
        log.warning("A readiness check failed.", extra={"check": name, "error": str(error)})
        return False


async def _read(name: str, measure: Hook) -> bool:
    try:
        await asyncio.wait_for(measure(), CHECK_SECONDS)
    except Exception as error:  # noqa: BLE001 - the other figures are shown all the same
        log.warning("A measure was not taken.", extra={"measure": name, "error": repr(error)})
        return False
    return True


def _no_answer() -> ServiceUnavailable:
    return ServiceUnavailable(
        "The bus does not answer, or refuses this service's user.",
        reason="bus_unavailable",
        remedy="Look at NATS_URL, whether the server runs, and at the user's permissions.",
    )


def _not_provisioned(missing: set[str]) -> ServiceUnavailable:
    return ServiceUnavailable(
        "The bus has no such consumer: " + ", ".join(sorted(missing)) + ".",
        reason="not_provisioned",
        remedy="Run: python -m mistudio_servicekit provision",
    )
