"""A catalog without a database and workers: rows in memory, on the real bus.

It answers every request subject that the gateway asks, and publishes the events that follow. A
load or an extraction runs through at once, unless :meth:`FakeCatalog.hold` was called.
"""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from mistudio_contracts import events, rpc, subjects, views
from mistudio_contracts.base import new_id, utcnow
from mistudio_contracts.commands import RequestExtraction
from mistudio_contracts.errors import (
    ErrorBody,
    ErrorCode,
    InvalidInput,
    MiStudioError,
    NotFound,
    StatusConflict,
)
from mistudio_contracts.states import (
    DatasetFormat,
    DatasetStatus,
    Dtype,
    ExtractionStatus,
    LoadStage,
    ModelStatus,
)
from mistudio_contracts.subjects import Subject
from mistudio_contracts.values import ColumnSummary
from mistudio_servicekit.bus import Publisher, create_broker
from mistudio_servicekit.lifecycle import ServiceApp
from mistudio_servicekit.rpc import serve
from mistudio_servicekit.settings import ServiceSettings
from mistudio_servicekit.testing import running

Row = TypeVar("Row", bound=BaseModel)
LAYERS, WIDTH = 4, 8


class FakeCatalog:
    """The catalog's side of the bus, in a thread of its own."""

    def __init__(self, nats_url: str, store: Path) -> None:
        self.store = store
        self.models: dict[str, views.Model] = {}
        self.datasets: dict[str, views.Dataset] = {}
        self.extractions: dict[str, views.Extraction] = {}
        self.caches: dict[str, views.Cache] = {}
        self.requests: list[BaseModel] = []
        self.refuse: MiStudioError | None = None
        """Answered to the next request that changes something."""
        self.fail: ErrorBody | None = None
        """How the next load or extraction ends."""
        self._settings = ServiceSettings(nats_url=nats_url)
        self._going = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(15)

    def reset(self) -> None:
        """Forget everything."""
        for rows in (self.models, self.datasets, self.extractions, self.caches):
            rows.clear()  # type: ignore[attr-defined]
        self.requests.clear()
        self.refuse = self.fail = None
        self.release()

    def hold(self) -> None:
        """Let loads and extractions stop half-way."""
        self._loop.call_soon_threadsafe(self._going.clear)

    def release(self) -> None:
        """Let them go on."""
        self._loop.call_soon_threadsafe(self._going.set)

    def publish(self, subject: Subject, event: events.Event, entity: str) -> int | None:
        """Publish an event from the test's thread, and return its sequence."""
        sent = self._events.publish(subject, event, entity_id=entity)
        return asyncio.run_coroutine_threadsafe(sent, self._loop).result(10)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._going.set()
        broker = create_broker(self._settings, "catalog")
        self._events = Publisher(broker, "catalog")
        for subject, handler in self._handlers().items():
            serve(broker, subject, handler)
        async with running(ServiceApp(name="catalog", broker=broker)):
            self._ready.set()
            await self._end.wait()
            for task in self._tasks:
                task.cancel()

    def _handlers(self) -> dict[Subject, Callable[[Any], Awaitable[BaseModel]]]:
        return {
            subjects.RPC_MODEL_REGISTER: self._register_model,
            subjects.RPC_MODEL_LIST: self._list_models,
            subjects.RPC_MODEL_GET: self._get_model,
            subjects.RPC_MODEL_UPDATE: self._update_model,
            subjects.RPC_MODEL_DELETE: self._delete_model,
            subjects.RPC_MODEL_LOAD: self._load_model,
            subjects.RPC_MODEL_UNLOAD: self._unload_model,
            subjects.RPC_MODEL_LOAD_CANCEL: self._cancel_load,
            subjects.RPC_DATASET_REGISTER: self._register_dataset,
            subjects.RPC_DATASET_LIST: self._list_datasets,
            subjects.RPC_DATASET_GET: self._get_dataset,
            subjects.RPC_DATASET_DELETE: self._delete_dataset,
            subjects.RPC_EXTRACTION_REQUEST: self._request_extraction,
            subjects.RPC_EXTRACTION_LIST: self._list_extractions,
            subjects.RPC_EXTRACTION_GET: self._get_extraction,
            subjects.RPC_EXTRACTION_CANCEL: self._cancel_extraction,
            subjects.RPC_CACHE_LIST: self._list_caches,
            subjects.RPC_CACHE_GET: self._get_cache,
            subjects.RPC_CACHE_EVICT: self._evict_cache,
            subjects.RPC_DEVICE_LIST: self._list_devices,
            subjects.RPC_STORE_FILES: self._list_files,
            subjects.RPC_STORE_READ: self._read_file,
        }

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, request: BaseModel) -> None:
        self.requests.append(request)
        error, self.refuse = self.refuse, None
        if error is not None:
            raise error

    async def _tell(self, subject: Subject, kind: type[events.Event], **fields: Any) -> None:
        entity = next(v for k, v in fields.items() if k.endswith("_id"))
        await self._events.publish(subject, kind(**fields), entity_id=entity)

    # Models

    async def _register_model(self, asked: rpc.RegisterModelRequest) -> views.Model:
        self._note(asked)
        model = views.Model(
            id=new_id("m", asked.name),
            name=asked.name,
            source=asked.source,
            model_identifier=asked.model_identifier,
            revision=asked.revision,
            quantization=asked.quantization,
            status=ModelStatus.PENDING,
            num_layers=LAYERS,
            hidden_size=WIDTH,
            parameter_count=135_000_000,
            created_at=utcnow(),
            updated_at=utcnow(),
        )
        self.models[model.id] = model
        if asked.auto_load:
            self._start_load(model)
        return self.models[model.id]

    async def _list_models(self, asked: rpc.ListModelsRequest) -> views.ModelPage:
        rows = [m for m in self.models.values() if asked.status in (None, m.status)]
        found, total = _page(rows, asked.limit, asked.offset)
        kept = [views.ModelSummary.model_validate(row.model_dump()) for row in found]
        return views.ModelPage(models=kept, total=total, limit=asked.limit, offset=asked.offset)

    async def _get_model(self, asked: rpc.GetModelRequest) -> views.Model:
        return _of(self.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")

    async def _update_model(self, asked: rpc.UpdateModelRequest) -> views.Model:
        self._note(asked)
        model = _of(self.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        changes = asked.model_dump(include={"name", "quantization"}, exclude_none=True)
        return self._set(model, **changes)

    async def _delete_model(self, asked: rpc.DeleteModelRequest) -> rpc.Done:
        self._note(asked)
        _of(self.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        del self.models[asked.model_id]
        await self._tell(subjects.MODEL_DELETED, events.ModelDeleted, model_id=asked.model_id)
        return rpc.Done()

    async def _load_model(self, asked: rpc.LoadModelRequest) -> views.LoadAccepted:
        self._note(asked)
        model = _of(self.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        if model.status in (ModelStatus.LOADING, ModelStatus.READY):
            raise StatusConflict(
                f"The model is {model.status} already.",
                reason=model.status.value,
                remedy="Unload it first.",
            )
        model = self._start_load(model)
        return views.LoadAccepted(
            id=model.id, status=model.status, task_id=str(model.task_id), message="Loading began"
        )

    async def _unload_model(self, asked: rpc.UnloadModelRequest) -> views.Model:
        self._note(asked)
        model = _of(self.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        return self._set(model, status=ModelStatus.UNLOADED, memory_usage_bytes=None)

    async def _cancel_load(self, asked: rpc.CancelLoadRequest) -> views.Model:
        self._note(asked)
        model = _of(self.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        if model.status is not ModelStatus.LOADING:
            raise StatusConflict("The model is not loading.", reason="not_loading")
        model = self._set(model, status=ModelStatus.UNLOADED, stage=None, task_id=new_id("task"))
        await self._tell(
            subjects.MODEL_UNLOADED,
            events.ModelUnloaded,
            model_id=model.id,
            status=model.status,
            reason="cancelled",
        )
        return model

    def _set(self, model: views.Model, **changes: Any) -> views.Model:
        self.models[model.id] = model.model_copy(update={**changes, "updated_at": utcnow()})
        return self.models[model.id]

    def _start_load(self, model: views.Model) -> views.Model:
        task = new_id("task")
        model = self._set(model, status=ModelStatus.LOADING, task_id=task, stage="resolving")
        model = self._set(model, stage=LoadStage.RESOLVING)
        self._begin(self._load(model.id, task))
        return model

    async def _load(self, model_id: str, task: str) -> None:
        same = {"model_id": model_id, "task_id": task}
        await self._tell(
            subjects.MODEL_LOADING,
            events.ModelLoading,
            **same,
            status=ModelStatus.LOADING,
            quantization=self.models[model_id].quantization,
        )
        for progress, stage in ((30.0, LoadStage.DOWNLOADING), (65.0, LoadStage.VERIFYING)):
            self._set(self.models[model_id], progress=progress, stage=stage)
            await self._tell(
                subjects.MODEL_LOAD_PROGRESS,
                events.ModelLoadProgress,
                **same,
                status=ModelStatus.LOADING,
                stage=stage,
                progress=progress,
            )
        await self._going.wait()
        if self.models[model_id].task_id != task:
            return
        error, self.fail = self.fail, None
        if error is not None:
            self._set(self.models[model_id], status=ModelStatus.FAILED, stage=None, error=error)
            failed = {"status": ModelStatus.FAILED, "error": error}
            await self._tell(subjects.MODEL_FAILED, events.ModelFailed, **same, **failed)
            return
        done = {"memory_usage_bytes": 500_000_000, "load_time_seconds": 1.5}
        self._set(
            self.models[model_id], status=ModelStatus.READY, stage=None, progress=100.0, **done
        )
        await self._tell(
            subjects.MODEL_READY, events.ModelReady, **same, status=ModelStatus.READY, **done
        )

    # Datasets

    async def _register_dataset(self, asked: rpc.RegisterDatasetRequest) -> views.Dataset:
        self._note(asked)
        dataset = views.Dataset(
            id=new_id("ds", asked.name),
            name=asked.name,
            source=asked.source,
            identifier=asked.identifier,
            format=asked.format,
            text_column=asked.text_column,
            status=DatasetStatus.INGESTING,
            created_at=utcnow(),
            updated_at=utcnow(),
        )
        self.datasets[dataset.id] = dataset
        self._begin(self._ingest(dataset))
        return dataset

    async def _ingest(self, dataset: views.Dataset) -> None:
        await self._going.wait()
        error, self.fail = self.fail, None
        if error is not None:
            changes: dict[str, Any] = {"status": DatasetStatus.FAILED, "error": error}
            self.datasets[dataset.id] = dataset.model_copy(update=changes)
            await self._tell(
                subjects.DATASET_FAILED, events.DatasetFailed, dataset_id=dataset.id, **changes
            )
            return
        changes = {
            "status": DatasetStatus.READY,
            "sample_count": 12,
            "format": dataset.format or DatasetFormat.JSONL,
            "columns": {"text": "text"},
            "text_column": dataset.text_column or "text",
            "preview": [{"text": "first row"}],
        }
        self.datasets[dataset.id] = dataset.model_copy(update=changes)
        await self._tell(
            subjects.DATASET_READY,
            events.DatasetReady,
            dataset_id=dataset.id,
            status=DatasetStatus.READY,
            sample_count=12,
            fingerprint="a" * 32,
        )

    async def _list_datasets(self, asked: rpc.ListDatasetsRequest) -> views.DatasetPage:
        found, total = _page(list(self.datasets.values()), asked.limit, asked.offset)
        return views.DatasetPage(
            datasets=found, total=total, limit=asked.limit, offset=asked.offset
        )

    async def _get_dataset(self, asked: rpc.GetDatasetRequest) -> views.Dataset:
        return _of(self.datasets, asked.dataset_id, ErrorCode.DATASET_NOT_FOUND, "dataset")

    async def _delete_dataset(self, asked: rpc.DeleteDatasetRequest) -> rpc.Done:
        self._note(asked)
        _of(self.datasets, asked.dataset_id, ErrorCode.DATASET_NOT_FOUND, "dataset")
        del self.datasets[asked.dataset_id]
        return rpc.Done()

    # Extractions

    async def _request_extraction(self, asked: rpc.ExtractionRequest) -> views.ExtractionAccepted:
        self._note(asked)
        command = RequestExtraction.model_validate(asked.command)
        _of(self.models, command.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        try:
            points = command.resolve(LAYERS)
        except IndexError as error:
            raise InvalidInput(
                f"Layer {error} is not there.", field="layer_indices", reason="out_of_range"
            ) from error
        cached = next(
            (
                c
                for c in self.caches.values()
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
            layer_indices=[int(p.split(".")[1]) for p in points],
            hook_points=points,
            dtype=command.dtype or Dtype.FLOAT32,
            tokenization=command.tokenization,
            created_at=utcnow(),
            updated_at=utcnow(),
        )
        self.extractions[row.extraction_id] = row
        if cached is not None:
            self._complete(row, cached, cached=True)
        else:
            self._begin(self._extract(row.extraction_id))
        row = self.extractions[row.extraction_id]
        return views.ExtractionAccepted(
            extraction_id=row.extraction_id,
            status=row.status,
            cached=row.cached,
            cache_id=row.cache_id,
            message="Answered from the cache" if row.cached else "Activation extraction queued",
        )

    def _complete(self, row: views.Extraction, cache: views.Cache, *, cached: bool) -> None:
        self.extractions[row.extraction_id] = row.model_copy(
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
        row = self.extractions[extraction_id]
        same = {"extraction_id": extraction_id, "model_id": row.model_id}
        row = row.model_copy(
            update={
                "status": ExtractionStatus.EXTRACTING,
                "progress": 50.0,
                "samples_processed": 6,
                "total_samples": 12,
            }
        )
        self.extractions[extraction_id] = row
        await self._tell(
            subjects.EXTRACTION_PROGRESS,
            events.ExtractionProgress,
            **same,
            status=row.status,
            progress=50.0,
            samples_processed=6,
            total_samples=12,
        )
        await self._going.wait()
        if self.extractions[extraction_id].status is ExtractionStatus.CANCELLED:
            return
        error, self.fail = self.fail, None
        if error is not None:
            changes: dict[str, Any] = {"status": ExtractionStatus.FAILED, "error": error}
            self.extractions[extraction_id] = row.model_copy(update=changes)
            await self._tell(subjects.EXTRACTION_FAILED, events.ExtractionFailed, **same, **changes)
            return
        cache = self._make_cache(row)
        self._complete(row, cache, cached=False)
        await self._tell(
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
        self.caches[cache.id] = cache
        return cache

    async def _list_extractions(self, asked: rpc.ListExtractionsRequest) -> views.ExtractionPage:
        rows = [
            e
            for e in self.extractions.values()
            if asked.status in (None, e.status) and asked.model_id in (None, e.model_id)
        ]
        found, total = _page(rows, asked.limit, asked.offset)
        return views.ExtractionPage(
            extractions=found, total=total, limit=asked.limit, offset=asked.offset
        )

    async def _get_extraction(self, asked: rpc.GetExtractionRequest) -> views.Extraction:
        code = ErrorCode.EXTRACTION_NOT_FOUND
        return _of(self.extractions, asked.extraction_id, code, "extraction")

    async def _cancel_extraction(self, asked: rpc.CancelExtractionRequest) -> views.Extraction:
        self._note(asked)
        code = ErrorCode.EXTRACTION_NOT_FOUND
        row = _of(self.extractions, asked.extraction_id, code, "extraction")
        if row.status.terminal:
            raise StatusConflict(
                f"The extraction is {row.status} already.", reason=row.status.value
            )
        row = row.model_copy(update={"status": ExtractionStatus.CANCELLED})
        self.extractions[row.extraction_id] = row
        await self._tell(
            subjects.EXTRACTION_CANCELLED,
            events.ExtractionCancelled,
            extraction_id=row.extraction_id,
            model_id=row.model_id,
            status=row.status,
        )
        return row

    # Caches, their files, devices

    async def _list_caches(self, asked: rpc.ListCachesRequest) -> views.CachePage:
        rows = [c for c in self.caches.values() if asked.model_id in (None, c.model_id)]
        found, total = _page(rows, asked.limit, asked.offset)
        return views.CachePage(
            activations=found, total=total, limit=asked.limit, offset=asked.offset
        )

    async def _get_cache(self, asked: rpc.GetCacheRequest) -> views.Cache:
        return _of(self.caches, asked.cache_id, ErrorCode.CACHE_NOT_FOUND, "cache")

    async def _evict_cache(self, asked: rpc.EvictCacheRequest) -> rpc.Done:
        self._note(asked)
        _of(self.caches, asked.cache_id, ErrorCode.CACHE_NOT_FOUND, "cache")
        del self.caches[asked.cache_id]
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
            resident_models=list(self.models)[:1],
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


def _of(rows: dict[str, Row], key: str, code: ErrorCode, kind: str) -> Row:
    if key not in rows:
        raise NotFound(f"There is no {kind} {key}.", code=code, reason="unknown")
    return rows[key]


def _page(rows: list[Row], limit: int, offset: int) -> tuple[list[Row], int]:
    newest_first = rows[::-1]
    return newest_first[offset : offset + limit], len(rows)
