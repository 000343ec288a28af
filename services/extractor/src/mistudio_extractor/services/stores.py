"""Reading, verifying and deleting what is stored, for other services."""

from __future__ import annotations

import base64
import time

from mistudio_activations import (
    Manifest,
    StoreCorrupt,
    damage_of,
    evict,
    files_of,
    gc,
    read_manifest,
)
from mistudio_activations.commit import STATS
from mistudio_activations.places import MANIFEST
from mistudio_contracts.errors import InvalidInput, NotFound
from mistudio_contracts.reports import StoreEvictedReport
from mistudio_contracts.rpc import (
    CheckStoreRequest,
    FileChunk,
    ListStoreFilesRequest,
    ReadStoreFileRequest,
    StoreCheck,
    VerifyStoreRequest,
)
from mistudio_contracts.states import Damage
from mistudio_contracts.views import DamagedFile, StoreFile, StoreFiles, StoreVerification
from mistudio_contracts.work import EvictStore
from mistudio_extractor.storage.bucket import bucket_errors
from mistudio_extractor.storage.layout import Layout
from mistudio_extractor.storage.manifests import gone, manifest_of, undamaged

REMEDY = "Delete the cache, and any other that shows the same, then ask for the extraction again."

MOST_DAMAGED = 1000
"""Files that one answer names, so that it is no larger than a message may be."""


class Stores:
    """The pool's stores, seen from this extractor. Blocking: call it on a thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @bucket_errors()
    def evict(self, order: EvictStore) -> StoreEvictedReport:
        """Delete columns, and what no manifest names; harmless when they are gone."""
        store = self._layout.store(order.store_key)
        freed = evict(store, order.hook_points)
        if order.unnamed_before is not None:
            freed += gc(store, lease=time.time() - order.unnamed_before.timestamp())
        manifest = read_manifest(store)
        return StoreEvictedReport(
            task_id=order.task_id,
            store_key=order.store_key,
            freed_bytes=max(0, freed),
            columns_left=len(manifest.columns) if manifest else 0,
        )

    @bucket_errors()
    def check(self, request: CheckStoreRequest) -> StoreCheck:
        """Tell which columns lie there with all their files, without reading any of them.

        Raises
        ------
        ExtractionFailed
            When the manifest is of a later version.
        ServiceUnavailable
            When the store's bucket does not answer.
        """
        store = self._layout.store(request.store_key)
        try:
            manifest = undamaged(store)
        except (NotFound, StoreCorrupt):
            return StoreCheck(storage_path=str(store))
        sizes = {file.path: file.bytes for file in store.files()}

        def lies_there(column: str) -> bool:
            return all(
                path in sizes and (shard is None or sizes[path] == shard.bytes)
                for path, shard in files_of(manifest, [column]).items()
            )

        found = [column for column in manifest.columns if lies_there(column)]
        return StoreCheck(storage_path=str(store), hook_points=found)

    @bucket_errors()
    def files(self, request: ListStoreFilesRequest) -> StoreFiles:
        """List what the manifest names, the manifest and statistics included.

        Raises
        ------
        NotFound
            When nothing is visible under the key.
        ServiceUnavailable
            When the store's bucket does not answer.
        """
        store = self._layout.store(request.store_key)
        try:
            found = _visible(manifest_of(store))
            sizes = {
                path: store.size(path) if size is None else size for path, size in found.items()
            }
        except FileNotFoundError as error:
            raise gone() from error
        return StoreFiles(
            store_key=request.store_key,
            files=[StoreFile(path=path, bytes=size) for path, size in sorted(sizes.items())],
        )

    @bucket_errors()
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
        if request.path not in _visible(manifest_of(store)):
            raise _no_such_file()
        try:
            data, total = store.read_range(request.path, request.offset, request.length)
        except FileNotFoundError as error:
            raise gone() from error
        except StoreCorrupt as error:
            raise _no_such_file() from error
        return FileChunk(
            data=base64.b64encode(data).decode("ascii"),
            total_bytes=total,
            eof=request.offset + len(data) >= total,
        )

    @bucket_errors()
    def verify(self, request: VerifyStoreRequest) -> StoreVerification:
        """Compare files with what was written, as many as the request's seconds allow.

        A manifest that cannot be read is a damaged file as any other.

        Raises
        ------
        NotFound
            When nothing is visible under the key, or is being deleted.
        ExtractionFailed
            When the manifest is of a later version.
        ServiceUnavailable
            When the store's bucket does not answer.
        """
        until = time.monotonic() + request.seconds
        store = self._layout.store(request.store_key)
        try:
            files = files_of(undamaged(store), request.hook_points)
        except StoreCorrupt:
            return _verified({MANIFEST: 0}, {MANIFEST: 0}, {MANIFEST: Damage.CONTENT})
        sizes = {path: 0 if shard is None else shard.bytes for path, shard in files.items()}
        done: dict[str, int] = {}
        damaged: dict[str, Damage] = {}
        for path in files:
            if request.after is not None and path <= request.after:
                continue
            found = damage_of(store, path, files[path])
            if found is not None:
                damaged[path] = Damage(found)
            done[path] = sizes[path]
            if time.monotonic() >= until or len(damaged) >= MOST_DAMAGED:
                break
        if damaged:
            # What was deleted meanwhile is no damage.
            still = files_of(manifest_of(store), request.hook_points)
            damaged = {path: found for path, found in damaged.items() if path in still}
        return _verified(sizes, done, damaged)


def _verified(
    sizes: dict[str, int], done: dict[str, int], damaged: dict[str, Damage]
) -> StoreVerification:
    last = max(done, default="")
    return StoreVerification(
        verified_files=len(done),
        verified_bytes=sum(done.values()),
        total_files=len(sizes),
        total_bytes=sum(sizes.values()),
        next=last if done and last < max(sizes) else None,
        damaged=[DamagedFile(path=path, reason=damaged[path]) for path in damaged],
        remedy=REMEDY if damaged else None,
    )


def _visible(manifest: Manifest) -> dict[str, int | None]:
    """Return the files of a store and their bytes, None where the manifest does not say them."""
    columns = manifest.columns
    shards = [*manifest.tokens, *(s for column in columns.values() for s in column.shards)]
    unsaid = [MANIFEST, *(f"{name}/{STATS}" for name in columns)]
    return {**dict.fromkeys(unsaid), **{shard.path: shard.bytes for shard in shards}}


def _no_such_file() -> InvalidInput:
    return InvalidInput(
        "The store has no such file.",
        field="path",
        reason="no_such_file",
        remedy="List the cache's files to see which there are.",
    )
