"""Orders and questions about stores: delete, list, read."""

from __future__ import annotations

import asyncio

from mistudio_contracts import subjects
from mistudio_contracts.rpc import FileChunk, ListStoreFilesRequest, ReadStoreFileRequest
from mistudio_contracts.views import StoreFiles
from mistudio_contracts.work import EvictStore
from mistudio_extractor.services.stores import Stores
from mistudio_servicekit.bus import Publisher
from mistudio_servicekit.consume import Delivery


class StoreHandlers:
    """Handlers of ``work.*.store.evict`` and ``rpc.store.*``."""

    def __init__(self, stores: Stores, publisher: Publisher) -> None:
        self._stores, self._publisher = stores, publisher

    async def evict(self, order: EvictStore, delivery: Delivery) -> None:
        """Delete stored columns and report the bytes."""
        report = await asyncio.to_thread(self._stores.evict, order)
        await self._publisher.publish(
            subjects.REPORT_STORE_EVICTED,
            report,
            entity_id=order.store_key,
            msg_id=delivery.report_id("store-evicted"),
        )

    async def files(self, request: ListStoreFilesRequest) -> StoreFiles:
        """List a store's files."""
        return await asyncio.to_thread(self._stores.files, request)

    async def read(self, request: ReadStoreFileRequest) -> FileChunk:
        """Read a piece of a store's file."""
        return await asyncio.to_thread(self._stores.read, request)
