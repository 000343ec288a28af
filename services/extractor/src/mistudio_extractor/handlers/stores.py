"""Orders and questions about stores: delete, list, read, verify."""

from __future__ import annotations

import asyncio

from mistudio_contracts import subjects
from mistudio_contracts.rpc import (
    CheckStoreRequest,
    FileChunk,
    ListStoreFilesRequest,
    ReadStoreFileRequest,
    StoreCheck,
    VerifyStoreRequest,
)
from mistudio_contracts.views import StoreFiles, StoreVerification
from mistudio_contracts.work import EvictStore
from mistudio_extractor.services.stores import Stores
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery


class StoreHandlers:
    """Handlers of ``work.*.store.evict`` and ``rpc.store.*``."""

    def __init__(self, stores: Stores, publisher: Publisher) -> None:
        self._stores, self._publisher = stores, publisher
        self._verifying = asyncio.Lock()

    async def evict(self, order: EvictStore, delivery: Delivery) -> None:
        """Delete stored columns and report the bytes."""
        report = await asyncio.to_thread(self._stores.evict, order)
        await self._publisher.publish(
            subjects.REPORT_STORE_EVICTED,
            report,
            entity_id=order.store_key,
            msg_id=delivery.report_id("store-evicted"),
        )

    async def check(self, request: CheckStoreRequest) -> StoreCheck:
        """Tell which columns of a store lie there."""
        return await asyncio.to_thread(self._stores.check, request)

    async def files(self, request: ListStoreFilesRequest) -> StoreFiles:
        """List a store's files."""
        return await asyncio.to_thread(self._stores.files, request)

    async def read(self, request: ReadStoreFileRequest) -> FileChunk:
        """Read a piece of a store's file."""
        return await asyncio.to_thread(self._stores.read, request)

    async def verify(self, request: VerifyStoreRequest) -> StoreVerification:
        """Compare some of a store's files with their checksums."""
        # One at a time: side by side they would take the disk and the threads from captures.
        async with self._verifying:
            return await asyncio.to_thread(self._stores.verify, request)
