"""Uploads: from the object store to a file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import nats.errors
from nats.aio.client import Client
from nats.js import errors as js
from nats.js.object_store import ObjectStore

from mistudio_contracts.errors import InvalidInput, ServiceUnavailable
from mistudio_contracts.topology import UPLOADS_BUCKET
from mistudio_loader.datasets.limits import require_size
from mistudio_loader.storage.disk import disk_errors, require_space
from mistudio_servicekit.tasks import cancel

logger = logging.getLogger(__name__)

STALL_SECONDS = 30.0


class _Counting:
    """A file that counts what is written; the store writes from a thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def write(self, data: bytes) -> int:
        written = self._stream.write(data)
        self.count += written
        return written


class Uploads:
    """The bucket that the gateway fills.

    Parameters
    ----------
    connection
        Returns the NATS connection.
    domain
        JetStream domain of the bucket; that of the connection by default.
    """

    def __init__(self, connection: Callable[[], Client], domain: str | None = None) -> None:
        self._connection = connection
        self._domain = domain

    async def fetch(self, name: str, target: Path, max_bytes: int, reserve_bytes: int) -> None:
        """Stream an object into ``target`` and check its digest.

        Raises
        ------
        InvalidInput
            ``reason`` ``upload_missing``: it is not there, or no longer.
        PayloadTooLarge
            It is larger than ``max_bytes``.
        InsufficientStorage
            There is no room for it.
        ServiceUnavailable
            The store does not answer, or sent other bytes than were put.
        """
        try:
            bucket = await self._bucket()
            info = await bucket.get_info(name)
            require_size(info.size or 0, max_bytes)
            require_space(target.parent, info.size or 0, reserve_bytes)
            with disk_errors(target.parent), target.open("wb") as stream:
                await self._receive(bucket, name, _Counting(stream))
        except (js.ObjectNotFoundError, js.ObjectDeletedError) as error:
            raise InvalidInput(
                "The upload is no longer there.",
                field="identifier",
                reason="upload_missing",
                remedy="Upload the file again.",
            ) from error
        except (js.DigestMismatchError, nats.errors.Error, asyncio.TimeoutError) as error:
            raise _unavailable() from error

    async def delete(self, name: str) -> None:
        """Delete an object that is ingested; the bucket's maximum age takes what this misses."""
        try:
            await (await self._bucket()).delete(name)
        except (js.ObjectNotFoundError, js.ObjectDeletedError):
            return
        except (nats.errors.Error, asyncio.TimeoutError) as error:
            logger.warning("an upload was left behind", extra={"cause": repr(error)})

    async def _bucket(self) -> ObjectStore:
        return await self._connection().jetstream(domain=self._domain).object_store(UPLOADS_BUCKET)

    @staticmethod
    async def _receive(bucket: ObjectStore, name: str, sink: _Counting) -> None:
        into: Any = sink
        getting = asyncio.create_task(bucket.get(name, writeinto=into))
        before = -1
        try:
            # The client library waits without end for a chunk that is not there.
            while not (await asyncio.wait({getting}, timeout=STALL_SECONDS))[0]:
                if sink.count == before:
                    raise _unavailable()
                before = sink.count
            await getting
        finally:
            await cancel(getting)


def _unavailable() -> ServiceUnavailable:
    return ServiceUnavailable(
        "The upload could not be read just now.",
        reason="upload_unreadable",
        remedy="It is tried again; if that does not help, upload the file again.",
    )
