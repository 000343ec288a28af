"""Reading and deleting what is stored, for other services."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from mistudio_activations import StoreCorrupt, evict, read_manifest
from mistudio_contracts.errors import ErrorCode, ExtractionFailed, InvalidInput, NotFound
from mistudio_contracts.reports import StoreEvictedReport
from mistudio_contracts.rpc import FileChunk, ListStoreFilesRequest, ReadStoreFileRequest
from mistudio_contracts.views import StoreFile, StoreFiles
from mistudio_contracts.work import EvictStore
from mistudio_extractor.storage.layout import Layout


class Stores:
    """The pool's stores, seen from this extractor. Blocking: call it on a thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def evict(self, order: EvictStore) -> StoreEvictedReport:
        """Delete columns; harmless when they are gone."""
        store = self._layout.store(order.store_key)
        freed = evict(store, order.hook_points)
        manifest = read_manifest(store)
        return StoreEvictedReport(
            task_id=order.task_id,
            store_key=order.store_key,
            freed_bytes=max(0, freed),
            columns_left=len(manifest.columns) if manifest else 0,
        )

    def files(self, request: ListStoreFilesRequest) -> StoreFiles:
        """List what the manifest names, the manifest and statistics included.

        Raises
        ------
        NotFound
            When nothing is visible under the key.
        """
        store = self._layout.store(request.store_key)
        try:
            sizes = {path: (store / path).stat().st_size for path in self._visible(store)}
        except FileNotFoundError as error:
            raise _gone() from error
        return StoreFiles(
            store_key=request.store_key,
            files=[StoreFile(path=path, bytes=size) for path, size in sorted(sizes.items())],
        )

    def read(self, request: ReadStoreFileRequest) -> FileChunk:
        """Return a piece of a visible file.

        Raises
        ------
        NotFound
            When nothing is visible under the key, or is being deleted.
        InvalidInput
            When the store has no such visible file.
        """
        store = self._layout.store(request.store_key)
        inside = (store / request.path).resolve().is_relative_to(store)
        if not inside or request.path not in self._visible(store):
            raise InvalidInput(
                "The store has no such file.",
                field="path",
                reason="no_such_file",
                remedy="List the cache's files to see which there are.",
            )
        try:
            with (store / request.path).open("rb") as file:
                total = os.fstat(file.fileno()).st_size
                file.seek(request.offset)
                data = file.read(request.length)
        except FileNotFoundError as error:
            raise _gone() from error
        return FileChunk(
            data=base64.b64encode(data).decode("ascii"),
            total_bytes=total,
            eof=request.offset + len(data) >= total,
        )

    def _visible(self, store: Path) -> list[str]:
        try:
            manifest = read_manifest(store)
        except StoreCorrupt as error:
            raise ExtractionFailed(
                "The store's manifest cannot be read.",
                reason="store_damaged",
                remedy="Delete the cache and ask for the extraction again.",
            ) from error
        if manifest is None:
            raise _gone()
        paths = ["manifest.json", *(shard.path for shard in manifest.tokens)]
        for name, column in manifest.columns.items():
            paths += [f"{name}/stats.json", *(shard.path for shard in column.shards)]
        return paths


def _gone() -> NotFound:
    return NotFound(
        "The activations are no longer stored.",
        code=ErrorCode.CACHE_NOT_FOUND,
        remedy="Ask for the extraction again.",
    )
