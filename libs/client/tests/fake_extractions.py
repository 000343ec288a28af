"""The fake catalog's extractions, caches, files and devices."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from mistudio_activations import damage_of, files_of, place_of, read_manifest
from mistudio_contracts import events, rpc, subjects, views
from mistudio_contracts.base import new_id, utcnow
from mistudio_contracts.commands import NoSuchLayers, RequestExtraction
from mistudio_contracts.errors import ErrorCode, InvalidInput, StatusConflict
from mistudio_contracts.hooks import layer_of
from mistudio_contracts.states import Damage, Dtype, ExtractionStatus, Quantization
from mistudio_contracts.values import ColumnSummary

from .fake_rows import LAYERS, WIDTH, Handlers, Rows, page, the


class Extractions:
    """Answers what is asked about extractions."""

    def __init__(self, rows: Rows, store: Path) -> None:
        self.rows = rows
        self.store = store

    def handlers(self) -> Handlers:
        return {
            subjects.RPC_EXTRACTION_REQUEST: self._request_extraction,
            subjects.RPC_EXTRACTION_ESTIMATE: self._estimate_extraction,
            subjects.RPC_EXTRACTION_LIST: self._list_extractions,
            subjects.RPC_EXTRACTION_GET: self._get_extraction,
            subjects.RPC_EXTRACTION_CANCEL: self._cancel_extraction,
        }

    async def _estimate_extraction(self, asked: rpc.ExtractionRequest) -> views.ExtractionEstimate:
        self.rows.note(asked)
        return views.ExtractionEstimate(
            estimated_time_seconds=185.0,
            estimated_bytes=3_000_000_000,
            available_bytes=50_000_000_000,
            total_tokens=1_000_000,
            rows_sampled=256,
        )

    async def _request_extraction(self, asked: rpc.ExtractionRequest) -> views.ExtractionAccepted:
        self.rows.note(asked)
        command = RequestExtraction.model_validate(asked.command)
        the(self.rows.models, command.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        try:
            points = command.resolve(LAYERS)
        except NoSuchLayers as error:
            raise InvalidInput(str(error), field=error.field, reason="out_of_range") from error
        cached = next(
            (
                c
                for c in self.rows.caches.values()
                if c.model_id == command.model_id
                and c.dataset_id == command.dataset_id
                and set(points) <= set(c.hook_points)
            ),
            None,
        )
        row = views.Extraction(
            extraction_id=command.extraction_id or new_id("ext"),
            model_id=command.model_id,
            dataset_id=command.dataset_id,
            status=ExtractionStatus.QUEUED,
            layer_indices=sorted({layer for p in points if (layer := layer_of(p)) is not None}),
            hook_points=points,
            dtype=command.dtype or Dtype.FLOAT32,
            tokenization=command.tokenization,
            created_at=utcnow(),
            updated_at=utcnow(),
        )
        self.rows.extractions[row.extraction_id] = row
        if cached is not None:
            self._complete(row, cached, cached=True)
        else:
            self.rows.begin(self._extract(row.extraction_id))
        row = self.rows.extractions[row.extraction_id]
        return views.ExtractionAccepted(
            extraction_id=row.extraction_id,
            status=row.status,
            cached=row.cached,
            cache_id=row.cache_id,
            message="Answered from the cache" if row.cached else "Activation extraction queued",
        )

    def _complete(self, row: views.Extraction, cache: views.Cache, *, cached: bool) -> None:
        self.rows.extractions[row.extraction_id] = row.model_copy(
            update={
                "status": ExtractionStatus.COMPLETED,
                "progress": 100.0,
                "samples_processed": 12,
                "total_samples": 12,
                "cached": cached,
                "cache_id": cache.id,
                "storage_path": cache.storage_path,
                "file_size_bytes": cache.file_size_bytes,
                "activation_shape": cache.activation_shape,
                "extraction_time_seconds": 0.0 if cached else 2.5,
            }
        )

    async def _extract(self, extraction_id: str) -> None:
        row = self.rows.extractions[extraction_id]
        same = {"extraction_id": extraction_id, "model_id": row.model_id}
        row = row.model_copy(
            update={
                "status": ExtractionStatus.EXTRACTING,
                "progress": 50.0,
                "samples_processed": 6,
                "total_samples": 12,
            }
        )
        self.rows.extractions[extraction_id] = row
        await self.rows.tell(
            subjects.EXTRACTION_PROGRESS,
            events.ExtractionProgress,
            **same,
            status=row.status,
            progress=50.0,
            samples_processed=6,
            total_samples=12,
        )
        error = await self.rows.end()
        if self.rows.extractions[extraction_id].status is ExtractionStatus.CANCELLED:
            return
        if error is not None:
            changes: dict[str, Any] = {"status": ExtractionStatus.FAILED, "error": error}
            self.rows.extractions[extraction_id] = row.model_copy(update=changes)
            await self.rows.tell(
                subjects.EXTRACTION_FAILED, events.ExtractionFailed, **same, **changes
            )
            return
        cache = self._make_cache(row)
        self._complete(row, cache, cached=False)
        await self.rows.tell(
            subjects.EXTRACTION_COMPLETED,
            events.ExtractionCompleted,
            **same,
            status=ExtractionStatus.COMPLETED,
            cache_id=cache.id,
            cached=False,
            storage_path=cache.storage_path,
            file_size_bytes=cache.file_size_bytes,
            total_samples=12,
            total_tokens=40,
            extraction_time_seconds=2.5,
        )

    def _make_cache(self, row: views.Extraction) -> views.Cache:
        cache = views.Cache(
            id=new_id("act"),
            model_id=row.model_id,
            dataset_id=row.dataset_id,
            extraction_id=row.extraction_id,
            store_key="b" * 32,
            storage_path="/data/activations/" + "b" * 32,
            dtype=row.dtype,
            tokenization=row.tokenization,
            sample_count=12,
            token_count=40,
            layer_indices=row.layer_indices,
            hook_points=row.hook_points,
            activation_shape=[40, WIDTH],
            file_size_bytes=sum(p.stat().st_size for p in self.store.rglob("*") if p.is_file()),
            extraction_time_seconds=2.5,
            columns=[
                ColumnSummary(
                    hook_point=point,
                    tokens=40,
                    width=WIDTH,
                    bytes=1280,
                    mean_norm=3.25,
                    median_norm=3.0,
                    max_abs=9.5,
                )
                for point in row.hook_points
            ],
            created_at=utcnow(),
            last_accessed_at=utcnow(),
        )
        self.rows.caches[cache.id] = cache
        return cache

    async def _list_extractions(self, asked: rpc.ListExtractionsRequest) -> views.ExtractionPage:
        rows = [
            e
            for e in self.rows.extractions.values()
            if asked.status in (None, e.status) and asked.model_id in (None, e.model_id)
        ]
        found, total = page(rows, asked.limit, asked.offset)
        return views.ExtractionPage(
            extractions=found, total=total, limit=asked.limit, offset=asked.offset
        )

    async def _get_extraction(self, asked: rpc.GetExtractionRequest) -> views.Extraction:
        code = ErrorCode.EXTRACTION_NOT_FOUND
        return the(self.rows.extractions, asked.extraction_id, code, "extraction")

    async def _cancel_extraction(self, asked: rpc.CancelExtractionRequest) -> views.Extraction:
        self.rows.note(asked)
        code = ErrorCode.EXTRACTION_NOT_FOUND
        row = the(self.rows.extractions, asked.extraction_id, code, "extraction")
        if row.status.terminal:
            raise StatusConflict(
                f"The extraction is {row.status} already.", reason=row.status.value
            )
        row = row.model_copy(update={"status": ExtractionStatus.CANCELLED})
        self.rows.extractions[row.extraction_id] = row
        await self.rows.tell(
            subjects.EXTRACTION_CANCELLED,
            events.ExtractionCancelled,
            extraction_id=row.extraction_id,
            model_id=row.model_id,
            status=row.status,
        )
        return row


class Caches:
    """Answers what is asked about caches, their files and devices."""

    def __init__(self, rows: Rows, store: Path) -> None:
        self.rows = rows
        self.store = store

    def handlers(self) -> Handlers:
        return {
            subjects.RPC_CACHE_LIST: self._list_caches,
            subjects.RPC_CACHE_GET: self._get_cache,
            subjects.RPC_CACHE_EVICT: self._evict_cache,
            subjects.RPC_DEVICE_LIST: self._list_devices,
            subjects.RPC_STORE_FILES: self._list_files,
            subjects.RPC_STORE_READ: self._read_file,
            subjects.RPC_STORE_VERIFY: self._verify,
        }

    async def _list_caches(self, asked: rpc.ListCachesRequest) -> views.CachePage:
        rows = [c for c in self.rows.caches.values() if asked.model_id in (None, c.model_id)]
        found, total = page(rows, asked.limit, asked.offset)
        return views.CachePage(
            activations=found, total=total, limit=asked.limit, offset=asked.offset
        )

    async def _get_cache(self, asked: rpc.GetCacheRequest) -> views.Cache:
        return the(self.rows.caches, asked.cache_id, ErrorCode.CACHE_NOT_FOUND, "cache")

    async def _evict_cache(self, asked: rpc.EvictCacheRequest) -> rpc.Done:
        self.rows.note(asked)
        the(self.rows.caches, asked.cache_id, ErrorCode.CACHE_NOT_FOUND, "cache")
        del self.rows.caches[asked.cache_id]
        return rpc.Done()

    async def _list_devices(self, asked: rpc.ListDevicesRequest) -> views.DevicePage:
        device = views.Device(
            id="dev_one",
            pool="default",
            kind="cpu",
            name="A processor",
            online=True,
            memory_total_bytes=8 << 30,
            memory_budget_bytes=6 << 30,
            memory_used_bytes=1 << 30,
            memory_free_bytes=3 << 30,
            unavailable_formats={Quantization.INT8: "no kernel image for this device"},
            resident_models=list(self.rows.models)[:1],
            store_bytes=1 << 20,
            store_free_bytes=1 << 34,
            started_at=utcnow(),
            last_seen_at=utcnow(),
        )
        return views.DevicePage(devices=[device], total=1)

    async def _list_files(self, asked: rpc.ListStoreFilesRequest) -> views.StoreFiles:
        files = [
            views.StoreFile(path=str(p.relative_to(self.store)), bytes=p.stat().st_size)
            for p in sorted(self.store.rglob("*"))
            if p.is_file()
        ]
        return views.StoreFiles(store_key=asked.store_key, files=files)

    async def _read_file(self, asked: rpc.ReadStoreFileRequest) -> rpc.FileChunk:
        content = (self.store / asked.path).read_bytes()
        piece = content[asked.offset : asked.offset + asked.length]
        return rpc.FileChunk(
            data=base64.b64encode(piece).decode(),
            total_bytes=len(content),
            eof=asked.offset + len(piece) >= len(content),
        )

    async def _verify(self, asked: rpc.VerifyStoreRequest) -> views.StoreVerification:
        """Compare one file, so that several answers make a whole."""
        manifest = read_manifest(self.store)
        assert manifest is not None
        files = files_of(manifest, asked.hook_points)
        path = next(p for p in files if asked.after is None or p > asked.after)
        shard = files[path]
        found = damage_of(place_of(self.store), path, shard)
        return views.StoreVerification(
            verified_files=1,
            verified_bytes=shard.bytes if shard else 0,
            total_files=len(files),
            total_bytes=sum(s.bytes for s in files.values() if s),
            next=None if path == max(files) else path,
            damaged=[views.DamagedFile(path=path, reason=Damage(found))] if found else [],
            remedy="Delete it." if found else None,
        )
