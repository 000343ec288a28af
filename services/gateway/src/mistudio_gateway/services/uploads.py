"""Streaming an upload into the JetStream object store.

The client library's ``put`` reads from a blocking file in a thread; a slow uploader would hold
that thread. This writes the same objects, chunk by chunk, as the bytes arrive.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import PurePosixPath

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api

from mistudio_contracts.errors import InsufficientStorage, MiStudioError, ServiceUnavailable
from mistudio_contracts.topology import UPLOADS_BUCKET

logger = logging.getLogger(__name__)

CHUNK_BYTES = 128 * 1024
IN_FLIGHT = 8
"""Chunks sent before the first is acknowledged."""

PLAIN_ENDING = re.compile(r"\.[a-z0-9]{1,12}")

FULL = frozenset({10_047, 10_077, 10_122})
"""JetStream's error codes for no storage left, in the server or in the stream."""


class Upload:
    """One object being written. Use :meth:`Uploads.begin` to make one.

    Parameters
    ----------
    jetstream
        Where it goes.
    name
        The object's name in the bucket.
    """

    def __init__(self, jetstream: JetStreamContext, name: str) -> None:
        self.name = name
        self.size = 0
        self._jetstream = jetstream
        self._stream = f"OBJ_{UPLOADS_BUCKET}"
        self._nuid = secrets.token_hex(11)
        self._chunk_subject = f"$O.{UPLOADS_BUCKET}.C.{self._nuid}"
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._chunks = 0
        self._acks: list[asyncio.Future[api.PubAck]] = []

    def keep_ending(self, filename: str) -> None:
        """Take over the ending of the uploader's file name: the loader reads the format from it.

        Nothing else of the name is kept, and no ending that is not a plain word. To be called
        before :meth:`close`.
        """
        ending = PurePosixPath(filename).suffix.lower()
        if PLAIN_ENDING.fullmatch(ending):
            self.name += ending

    async def write(self, data: bytes) -> None:
        """Append bytes.

        Raises
        ------
        InsufficientStorage
            When the bucket is full.
        ServiceUnavailable
            When the bus does not answer.
        """
        self.size += len(data)
        self._digest.update(data)
        self._buffer += data
        while len(self._buffer) >= CHUNK_BYTES:
            await self._send(bytes(self._buffer[:CHUNK_BYTES]))
            del self._buffer[:CHUNK_BYTES]

    async def close(self) -> None:
        """Write what is left and the object's description; only then it can be read.

        Raises
        ------
        InsufficientStorage
            When the bucket is full.
        ServiceUnavailable
            When the bus does not answer.
        """
        if self._buffer:
            await self._send(bytes(self._buffer))
            self._buffer.clear()
        await self._settle(0)
        digest = base64.urlsafe_b64encode(self._digest.digest()).decode()
        info = api.ObjectInfo(
            name=self.name,
            bucket=UPLOADS_BUCKET,
            nuid=self._nuid,
            size=self.size,
            chunks=self._chunks,
            digest=f"SHA-256={digest}",
            mtime=datetime.now(timezone.utc).isoformat(),
            options=api.ObjectMetaOptions(max_chunk_size=CHUNK_BYTES),
        )
        encoded = base64.urlsafe_b64encode(self.name.encode()).decode()
        try:
            await self._jetstream.publish(
                f"$O.{UPLOADS_BUCKET}.M.{encoded}",
                json.dumps(info.as_dict()).encode(),
                stream=self._stream,
                headers={str(api.Header.ROLLUP.value): "sub"},
            )
        except (nats.errors.Error, asyncio.TimeoutError) as error:
            raise storage_error(error) from error

    async def abort(self) -> None:
        """Take back what was written."""
        # A chunk still on its way would be stored after the purge.
        if self._acks:
            await asyncio.wait(self._acks, timeout=5.0)
        for ack in self._acks:
            if not ack.done():
                ack.cancel()
        try:
            await self._jetstream.purge_stream(self._stream, subject=self._chunk_subject)
        except (nats.errors.Error, asyncio.TimeoutError) as error:
            # The bucket's maximum age removes it.
            logger.warning("chunks of an upload were left behind", extra={"cause": repr(error)})

    async def _send(self, chunk: bytes) -> None:
        try:
            ack = await self._jetstream.publish_async(
                self._chunk_subject, chunk, wait_stall=5.0, stream=self._stream
            )
        except (nats.errors.Error, asyncio.TimeoutError) as error:
            raise storage_error(error) from error
        self._acks.append(ack)
        self._chunks += 1
        await self._settle(IN_FLIGHT)

    async def _settle(self, leave: int) -> None:
        while len(self._acks) > leave:
            ack = self._acks.pop(0)
            try:
                await asyncio.wait_for(ack, timeout=10.0)
            except (nats.errors.Error, asyncio.TimeoutError) as error:
                raise storage_error(error) from error


class Uploads:
    """The bucket that carries datasets to the loader.

    Parameters
    ----------
    connection
        Returns the NATS connection.
    """

    def __init__(self, connection: Callable[[], Client]) -> None:
        self._connection = connection
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None

    def begin(self) -> Upload:
        """Begin an object under a fresh name."""
        client = self._connection()
        # One context for all: each subscribes an inbox of its own for its acknowledgements.
        if self._jetstream is None or self._client is not client:
            self._client, self._jetstream = client, client.jetstream()
        return Upload(self._jetstream, f"upload-{secrets.token_hex(16)}")

    async def delete(self, name: str) -> None:
        """Delete an object that nobody will read."""
        try:
            bucket = await self._connection().jetstream().object_store(UPLOADS_BUCKET)
            await bucket.delete(name)
        except (nats.errors.Error, asyncio.TimeoutError) as error:
            # The bucket's maximum age removes it.
            logger.warning("an upload was left behind", extra={"cause": repr(error)})


def storage_error(error: BaseException) -> MiStudioError:
    """Say in the contract's words why the object store did not take a chunk."""
    if isinstance(error, nats.js.errors.APIError) and error.err_code in FULL:
        return InsufficientStorage(
            "There is no room for the upload just now.",
            reason="uploads_full",
            remedy="Try again when the uploads before it were ingested.",
        )
    logger.warning("the object store did not take a chunk", extra={"cause": repr(error)})
    return ServiceUnavailable(
        "The upload could not be stored just now.",
        reason="bus_unavailable",
        remedy="Try again in a moment.",
    )
