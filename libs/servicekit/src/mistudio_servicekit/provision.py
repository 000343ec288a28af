"""Make the streams, durable consumers and the bucket be as the topology declares them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    ExternalStream,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamSource,
)
from nats.js.errors import APIError, NotFoundError

from mistudio_contracts import topology
from mistudio_contracts.errors import MiStudioError, ServiceUnavailable
from mistudio_contracts.sites import Site, Source

from .bus import servers_of
from .letters import sweep
from .render import render_topology

__all__ = ["connect", "provision", "render_topology"]

log = logging.getLogger(__name__)

CONNECT_SECONDS = 30.0


async def provision(
    nats_url: str, pools: Sequence[str], site: Site | None = None, replicas: int | None = None
) -> None:
    """Create what is missing and update what differs. Runs again change nothing.

    Messages that no consumer will ever be given again are moved to the DEAD stream.

    Streams and consumers that the topology does not name are left alone.

    Parameters
    ----------
    nats_url
        The bus, with the credentials of a user that may manage streams.
    pools
        The pools to make work consumers for.
    site
        Which part of the topology the server keeps, where two sites are joined; all by default.
    replicas
        Servers of a cluster that keep each message; None leaves what is there, and makes one.

    Raises
    ------
    ServiceUnavailable
        When the bus does not answer within half a minute.
    MiStudioError
        When the server refuses; ``details`` name the stream or consumer.
    """
    site = site or Site()
    client = await connect(nats_url)
    try:
        jetstream = client.jetstream(timeout=10)
        for stream, sources in site.streams(pools):
            await _tried(stream.name, _stream(jetstream, stream, sources, replicas))
        for consumer in site.consumers(pools):
            await _tried(consumer.name, _consumer(jetstream, consumer))
        if site.keeps_uploads:
            await _tried(topology.UPLOADS_BUCKET, _bucket(jetstream, replicas))
        if moved := await sweep(client, site.queues(pools)):
            log.warning("Found %d messages that no consumer would be given again.", moved)
    finally:
        await client.close()


async def connect(url: str) -> Client:
    """Connect as an operator.

    Raises
    ------
    ServiceUnavailable
        When the bus does not answer within half a minute, or refuses the user.
    """

    async def ignore(error: Exception) -> None:
        log.debug("Connecting failed: %s", error)

    try:
        return await asyncio.wait_for(
            nats.connect(
                servers_of(url),
                name="mistudio-provision",
                error_cb=ignore,
                inbox_prefix="_INBOX_provision",
                reconnect_time_wait=1,
                max_reconnect_attempts=-1,
            ),
            CONNECT_SECONDS,
        )
    except (asyncio.TimeoutError, OSError, nats.errors.Error) as error:
        raise ServiceUnavailable(
            "The bus does not answer, or refuses the user.",
            reason="bus_unavailable",
            remedy="Look at NATS_URL, and whether the server runs.",
        ) from error


async def _tried(name: str, work: Any) -> None:
    try:
        await work
    except APIError as error:
        raise MiStudioError(
            f"{name} cannot be provisioned: {error.description}.",
            reason="refused_by_server",
            name=name,
            remedy="Change the declaration, or take the old stream or consumer away by hand.",
        ) from error


async def _stream(
    jetstream: JetStreamContext,
    spec: topology.StreamSpec,
    sources: Sequence[Source],
    replicas: int | None,
) -> None:
    config = StreamConfig(
        name=spec.name,
        description=spec.summary,
        # None where all of it comes from elsewhere: an empty list is not what the server says.
        subjects=list(spec.subjects) or None,
        retention=RetentionPolicy(spec.retention),
        storage=StorageType(spec.storage),
        max_age=spec.max_age,
        max_bytes=spec.max_bytes,
        max_msgs_per_subject=spec.max_msgs_per_subject,
        discard=DiscardPolicy(spec.discard),
        duplicate_window=spec.duplicate_window,
        allow_direct=True,
        num_replicas=replicas,
    )
    wanted = [_source(each) for each in sources]
    try:
        found = (await jetstream.stream_info(spec.name)).config
    except NotFoundError:
        await jetstream.add_stream(config, sources=wanted or None)
        log.info("Created the stream %s.", spec.name)
        return
    moved = _origins(found.sources) != _origins(wanted) or bool(found.subjects) != bool(
        spec.subjects
    )
    if moved or _differs(found, config):
        given = {**_given(config), "subjects": list(spec.subjects), "sources": wanted}
        await jetstream.update_stream(found.evolve(**given))
        log.info("Updated the stream %s.", spec.name)


def _source(source: Source) -> StreamSource:
    return StreamSource(
        name=source.stream,
        filter_subject=source.subject,
        external=ExternalStream(api=source.api, deliver=""),
    )


def _origins(sources: Sequence[StreamSource] | None) -> set[tuple[str, str | None, str]]:
    # The server fills in more of a source than it was given.
    return {
        (each.name, each.filter_subject or None, each.external.api if each.external else "")
        for each in sources or ()
    }


async def _consumer(jetstream: JetStreamContext, spec: topology.ConsumerSpec) -> None:
    config = ConsumerConfig(
        durable_name=spec.name,
        filter_subject=spec.subject,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=spec.ack_wait,
        max_deliver=spec.max_deliver,
        max_ack_pending=spec.max_ack_pending,
        max_waiting=spec.max_waiting,
    )
    try:
        found = (await jetstream.consumer_info(spec.stream, spec.name)).config
    except NotFoundError:
        await jetstream.add_consumer(spec.stream, config)
        log.info("Created the consumer %s.", spec.name)
        return
    if found.max_waiting != spec.max_waiting:
        # The one limit that the server does not change; what was in hand comes again.
        await jetstream.delete_consumer(spec.stream, spec.name)
        await jetstream.add_consumer(spec.stream, config)
        log.info("Made the consumer %s anew.", spec.name)
        return
    if _differs(found, config):
        await jetstream.add_consumer(spec.stream, found.evolve(**_given(config)))
        log.info("Updated the consumer %s.", spec.name)


async def _bucket(jetstream: JetStreamContext, replicas: int | None) -> None:
    name = f"OBJ_{topology.UPLOADS_BUCKET}"
    wanted: dict[str, Any] = {
        "max_bytes": topology.UPLOADS_MAX_BYTES,
        "max_age": topology.UPLOADS_MAX_AGE,
    }
    if replicas is not None:
        wanted["num_replicas"] = replicas
    try:
        found = (await jetstream.stream_info(name)).config
    except NotFoundError:
        await jetstream.create_object_store(
            topology.UPLOADS_BUCKET,
            config=ObjectStoreConfig(
                bucket=topology.UPLOADS_BUCKET,
                description="Dataset uploads on their way from the gateway to a loader.",
                ttl=topology.UPLOADS_MAX_AGE,
                max_bytes=topology.UPLOADS_MAX_BYTES,
                storage=StorageType.FILE,
                replicas=replicas or 1,
            ),
        )
        log.info("Created the bucket %s.", topology.UPLOADS_BUCKET)
        return
    if any(getattr(found, key) != value for key, value in wanted.items()):
        await jetstream.update_stream(found.evolve(**wanted))
        log.info("Updated the bucket %s.", topology.UPLOADS_BUCKET)


def _given(config: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(config).items() if value is not None}


def _differs(found: Any, wanted: Any) -> bool:
    return any(getattr(found, key) != value for key, value in _given(wanted).items())
