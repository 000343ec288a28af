"""The connection to the bus, and the one way to publish on it."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors
from faststream.exceptions import IncorrectState
from faststream.nats import NatsBroker
from faststream.nats.prometheus import NatsPrometheusMiddleware
from nats.aio.client import Client
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from mistudio_contracts.base import new_id
from mistudio_contracts.errors import PayloadTooLarge, ServiceUnavailable
from mistudio_contracts.subjects import Subject

from .headers import envelope
from .settings import ServiceSettings
from .telemetry import metrics_of, register_metrics, tracer_provider
from .tracing import traced

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT = 5.0
"""Seconds until a stream must have confirmed a message."""

HANDLER_GRACE = 4.0
"""Seconds that handlers in flight get when the process must end."""

LEAVE_WITHIN = 8.0
"""Seconds until a process that lost the bus for good is gone, whatever it does."""


REFUSED = "authorization violation"
_ATTRIBUTE = "_mistudio_connection"


@dataclass
class Connection:
    """What the kit knows of a broker's connection.

    ``lost`` is called when the client has given up for good; by default the process ends, since
    nothing it could still do would be heard. ``denied`` holds the last refusals of the server,
    ``trouble`` the error that was logged last.
    """

    lost: Callable[[], None]
    denied: list[str] = field(default_factory=list)
    trouble: str = ""


def connection_of(broker: NatsBroker) -> Connection:
    """Return the state of the broker's connection."""
    found: Connection | None = getattr(broker, _ATTRIBUTE, None)
    if found is None:
        found = Connection(leave_process)
        setattr(broker, _ATTRIBUTE, found)
    return found


def leave_process() -> None:
    """End the process in good order, and by force where that takes too long."""
    timer = threading.Timer(LEAVE_WITHIN, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)


def servers_of(nats_url: str) -> list[str]:
    """Return the addresses in ``NATS_URL``: one, or those of a cluster's servers."""
    return [url.strip() for url in nats_url.split(",") if url.strip()]


def create_broker(settings: ServiceSettings, service: str) -> NatsBroker:
    """Return the service's connection to the bus, not yet open.

    It reconnects for ever. When the server closes it for good (a user taken away, say), the
    process ends. Replies come to ``_INBOX_<service>.>``, all that its user may subscribe to
    beside its subjects. Messages carry ``traceparent`` and are counted.

    Parameters
    ----------
    settings
        Where the bus is.
    service
        The name shown in the server's list of connections, and the source of metrics.
    """
    registry = CollectorRegistry()

    async def on_error(error: Exception) -> None:
        text = str(error) or type(error).__name__
        known = connection_of(broker)
        if "permissions violation" in text.lower():
            known.denied[:] = [*known.denied[-9:], text]
        if REFUSED in text.lower():
            if not broker.running:
                raise error  # Ends the first connect; waiting would not help.
            log.critical("The bus refuses this service's user; leaving.")
            known.lost()
        # A server that is away is an error each second: once is enough.
        if text != known.trouble:
            known.trouble = text
            log.warning("The bus reports an error.", extra={"error": text})

    async def on_disconnected() -> None:
        if broker.running:
            log.warning("The connection to the bus is broken; reconnecting.")

    async def on_reconnected() -> None:
        connection_of(broker).trouble = ""
        log.info("The bus is connected again.")

    async def on_closed() -> None:
        if broker.running:
            log.critical("The bus has closed the connection for good; leaving.")
            connection_of(broker).lost()

    broker = NatsBroker(
        servers_of(settings.nats_url),
        name=f"mistudio-{service}",
        inbox_prefix=f"_INBOX_{service}",
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
        closed_cb=on_closed,
        connect_timeout=2,
        reconnect_time_wait=1,
        max_reconnect_attempts=-1,
        ping_interval=20,
        drain_timeout=2,
        graceful_timeout=HANDLER_GRACE,
        # The kit decodes and validates by itself, so that what cannot be read is kept.
        apply_types=False,
        # FastStream would log two lines a message; the kit logs what went wrong.
        logger=None,
        middlewares=(
            traced(tracer_provider(service)),
            NatsPrometheusMiddleware(registry=registry, app_name=service),
        ),
        # Addresses and credentials stay out of the rendered AsyncAPI.
        specification_url="nats://nats:4222",
        description="NATS JetStream",
    )
    # FastStream's own callback raises at errors that pass, such as too many connections, and by
    # that ends the client's reconnecting for ever, in silence.
    broker._connection_kwargs["error_cb"] = on_error
    register_metrics(broker, registry)
    return broker


async def settled(client: Client) -> None:
    """Wait until the server has taken in all that was sent to it, subscriptions above all.

    One ``flush`` of nats-py does not say so: its ping overtakes what waits to be written, so that
    a message published elsewhere right after it can still be missed. The second one's cannot.
    """
    await client.flush()
    await client.flush()


def declare_publishers(
    broker: NatsBroker, subjects: Iterable[Subject], pool: str = "default"
) -> None:
    """Name what a service publishes, for the AsyncAPI that FastStream renders of it."""
    for subject in subjects:
        name = subject.name(pool)
        broker.publisher(name, title=name, schema=subject.payload, description=subject.summary)
        for outcome in ("ok", "failed"):
            metrics_of(broker).published.labels(name, outcome)


class Publisher:
    """Publishes messages of the contract, with their headers, to the right place.

    Parameters
    ----------
    broker
        A connected broker.
    source
        The service, written into ``ce-source``.
    """

    def __init__(self, broker: NatsBroker, source: str) -> None:
        self._broker = broker
        self._source = source

    async def publish(
        self,
        subject: Subject,
        message: BaseModel,
        *,
        entity_id: str,
        pool: str = "default",
        msg_id: str | None = None,
    ) -> int | None:
        """Publish a message.

        Parameters
        ----------
        subject
            Where to. One that a stream keeps is confirmed by that stream; the others travel on
            core NATS and may be lost.
        message
            An instance of ``subject.payload``.
        entity_id
            The thing it is about, written into ``ce-subject``.
        pool
            Fills ``{pool}`` of the subject.
        msg_id
            A stream keeps one message of an id within its duplicate window. Fresh by default.

        Returns
        -------
        int or None
            The sequence in the stream, that of the first for a duplicate; None on core NATS.

        Raises
        ------
        TypeError
            When the message is not the subject's payload.
        PayloadTooLarge
            When the server does not take messages of this size.
        ServiceUnavailable
            When the message is not known to be kept: publish it again, with the same ``msg_id``.
        """
        if not isinstance(message, subject.payload):
            raise TypeError(f"{subject.pattern} carries {subject.payload.__name__}")
        headers = envelope(
            subject,
            message,
            source=self._source,
            entity_id=entity_id,
            message_id=msg_id or new_id("evt"),
        )
        if subject.stream is None:
            del headers["Nats-Msg-Id"]
        return await publish_raw(
            self._broker,
            subject.name(pool),
            message.model_dump_json().encode(),
            headers,
            stream=subject.stream,
        )


async def publish_raw(
    broker: NatsBroker,
    subject: str,
    body: bytes,
    headers: dict[str, str],
    *,
    stream: str | None,
    timeout: float | None = None,
) -> int | None:
    """Publish bytes; raises what :meth:`Publisher.publish` raises."""
    counter = metrics_of(broker).published
    outcome = "failed"
    try:
        if stream is None:
            await broker.publish(body, subject, headers=headers)
            sequence = None
        else:
            kept = await broker.publish(
                body, subject, headers=headers, stream=stream, timeout=timeout or PUBLISH_TIMEOUT
            )
            sequence = int(kept.seq)
        outcome = "ok"
        return sequence
    except nats.errors.MaxPayloadError as error:
        raise PayloadTooLarge(
            f"A message for {subject} is larger than the bus takes.",
            reason="message_too_large",
            bytes=len(body),
            remedy="Send less at once, or raise max_payload of the server.",
        ) from error
    except (asyncio.TimeoutError, nats.errors.Error, IncorrectState) as error:
        raise _not_kept(broker, subject, error) from error
    finally:
        counter.labels(subject, outcome).inc()


def _not_kept(broker: NatsBroker, subject: str, error: Exception) -> ServiceUnavailable:
    if isinstance(error, nats.js.errors.NoStreamResponseError):
        return ServiceUnavailable(
            f"No stream keeps {subject}.",
            reason="not_provisioned",
            remedy="Run: python -m mistudio_servicekit provision",
        )
    if isinstance(error, nats.js.errors.APIError):
        return ServiceUnavailable(
            f"The stream refused a message for {subject}: {error.description}.",
            reason="refused_by_stream",
            remedy="Make room in the stream, or look at its limits.",
        )
    # A publish that the server denies is never answered: it looks like a timeout.
    if any(f'"{subject}"'.lower() in text.lower() for text in connection_of(broker).denied):
        return ServiceUnavailable(
            f"The bus user of this service may not publish on {subject}.",
            reason="permission_denied",
            remedy="Give its user the permission in the server's accounts file.",
        )
    return ServiceUnavailable(
        f"The bus has not confirmed a message for {subject} in time.",
        reason="not_confirmed",
        remedy="It is sent again when the bus answers; if it never does, look at whether the "
        "bus runs and whether this service's user may publish there.",
    )
