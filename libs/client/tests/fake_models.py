"""The fake catalog's models and datasets."""

from __future__ import annotations

from typing import Any

from mistudio_contracts import events, rpc, subjects, views
from mistudio_contracts.base import new_id, utcnow
from mistudio_contracts.errors import ErrorCode, StatusConflict
from mistudio_contracts.hooks import hook_point
from mistudio_contracts.states import (
    BlockKind,
    DatasetFormat,
    DatasetStatus,
    LoadStage,
    ModelStatus,
)

from .fake_estimates import an_estimate
from .fake_rows import LAYERS, WIDTH, Handlers, Rows, page, the

_CHANGEABLE = {
    "name",
    "quantization",
    "quantization_options",
    "pinned",
    "keep_alive_seconds",
    "offload",
}


class Models:
    """Answers what is asked about models."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def handlers(self) -> Handlers:
        return {
            subjects.RPC_MODEL_REGISTER: self._register_model,
            subjects.RPC_MODEL_LIST: self._list_models,
            subjects.RPC_MODEL_GET: self._get_model,
            subjects.RPC_HOOK_POINT_LIST: self._list_hook_points,
            subjects.RPC_MODEL_UPDATE: self._update_model,
            subjects.RPC_MODEL_DELETE: self._delete_model,
            subjects.RPC_MODEL_LOAD: self._load_model,
            subjects.RPC_MODEL_UNLOAD: self._unload_model,
            subjects.RPC_MODEL_LOAD_CANCEL: self._cancel_load,
            subjects.RPC_MODEL_ESTIMATE: self._estimate_model,
            subjects.RPC_CHECKPOINT_ESTIMATE: self._estimate_checkpoint,
        }

    async def _register_model(self, asked: rpc.RegisterModelRequest) -> views.Model:
        self.rows.note(asked)
        model = views.Model(
            id=new_id("m", asked.name),
            name=asked.name,
            source=asked.source,
            model_identifier=asked.model_identifier,
            revision=asked.revision,
            quantization=asked.quantization,
            quantization_options=asked.quantization_options,
            pinned=asked.pinned,
            keep_alive_seconds=asked.keep_alive_seconds,
            offload=asked.offload,
            status=ModelStatus.PENDING,
            num_layers=LAYERS,
            hidden_size=WIDTH,
            parameter_count=135_000_000,
            created_at=utcnow(),
            updated_at=utcnow(),
        )
        self.rows.models[model.id] = model
        if asked.auto_load:
            self._start_load(model)
        return self.rows.models[model.id]

    async def _list_models(self, asked: rpc.ListModelsRequest) -> views.ModelPage:
        rows = [m for m in self.rows.models.values() if asked.status in (None, m.status)]
        found, total = page(rows, asked.limit, asked.offset)
        kept = [views.ModelSummary.model_validate(row.model_dump()) for row in found]
        return views.ModelPage(models=kept, total=total, limit=asked.limit, offset=asked.offset)

    async def _get_model(self, asked: rpc.GetModelRequest) -> views.Model:
        return the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")

    async def _list_hook_points(self, asked: rpc.ListHookPointsRequest) -> views.HookPointList:
        model = the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        heads = {"q": 2, "k": 1, "v": 1, "z": 2}
        shapes = [
            views.HookPointShape(
                hook_point=hook_point(layer, kind),
                layer=layer,
                kind=kind,
                width=heads.get(kind, 2) * WIDTH // 2,
                heads=heads.get(kind),
            )
            for layer in range(LAYERS)
            for kind in BlockKind
            if kind is not BlockKind.RESID_MID
        ]
        embed = views.HookPointShape(hook_point="embed", kind="embed", width=WIDTH)
        return views.HookPointList(
            model_id=model.id,
            num_layers=LAYERS,
            hook_points=[embed, *shapes],
            refused={"resid_mid": "attention and MLP both read the block's input"},
        )

    async def _update_model(self, asked: rpc.UpdateModelRequest) -> views.Model:
        self.rows.note(asked)
        model = the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        fields = {name: getattr(asked, name) for name in asked.model_fields_set & _CHANGEABLE}
        return self._set(model, **fields)

    async def _delete_model(self, asked: rpc.DeleteModelRequest) -> rpc.Done:
        self.rows.note(asked)
        the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        del self.rows.models[asked.model_id]
        await self.rows.tell(subjects.MODEL_DELETED, events.ModelDeleted, model_id=asked.model_id)
        return rpc.Done()

    async def _load_model(self, asked: rpc.LoadModelRequest) -> views.LoadAccepted:
        self.rows.note(asked)
        model = the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
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
        self.rows.note(asked)
        model = the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        return self._set(model, status=ModelStatus.UNLOADED, memory_usage_bytes=None)

    async def _cancel_load(self, asked: rpc.CancelLoadRequest) -> views.Model:
        self.rows.note(asked)
        model = the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        if model.status is not ModelStatus.LOADING:
            raise StatusConflict("The model is not loading.", reason="not_loading")
        model = self._set(model, status=ModelStatus.UNLOADED, stage=None, task_id=new_id("task"))
        await self.rows.tell(
            subjects.MODEL_UNLOADED,
            events.ModelUnloaded,
            model_id=model.id,
            status=model.status,
            reason="cancelled",
        )
        return model

    async def _estimate_model(self, asked: rpc.EstimateModelRequest) -> views.Estimate:
        self.rows.note(asked)
        model = the(self.rows.models, asked.model_id, ErrorCode.MODEL_NOT_FOUND, "model")
        return an_estimate(model.model_identifier, asked.quantization, model.id)

    async def _estimate_checkpoint(self, asked: rpc.EstimateCheckpointRequest) -> views.Estimate:
        self.rows.note(asked)
        return an_estimate(asked.model_identifier, asked.quantization)

    def _set(self, model: views.Model, **changes: Any) -> views.Model:
        self.rows.models[model.id] = model.model_copy(update={**changes, "updated_at": utcnow()})
        return self.rows.models[model.id]

    def _start_load(self, model: views.Model) -> views.Model:
        task = new_id("task")
        model = self._set(
            model, status=ModelStatus.LOADING, task_id=task, stage=LoadStage.RESOLVING
        )
        self.rows.begin(self._load(model.id, task))
        return model

    async def _load(self, model_id: str, task: str) -> None:
        same = {"model_id": model_id, "task_id": task}
        await self.rows.tell(
            subjects.MODEL_LOADING,
            events.ModelLoading,
            **same,
            status=ModelStatus.LOADING,
            quantization=self.rows.models[model_id].quantization,
        )
        for progress, stage in ((30.0, LoadStage.DOWNLOADING), (65.0, LoadStage.VERIFYING)):
            self._set(self.rows.models[model_id], progress=progress, stage=stage)
            await self.rows.tell(
                subjects.MODEL_LOAD_PROGRESS,
                events.ModelLoadProgress,
                **same,
                status=ModelStatus.LOADING,
                stage=stage,
                progress=progress,
            )
        error = await self.rows.end()
        if self.rows.models[model_id].task_id != task:
            return
        if error is not None:
            self._set(
                self.rows.models[model_id], status=ModelStatus.FAILED, stage=None, error=error
            )
            failed = {"status": ModelStatus.FAILED, "error": error}
            await self.rows.tell(subjects.MODEL_FAILED, events.ModelFailed, **same, **failed)
            return
        done = {"memory_usage_bytes": 500_000_000, "load_time_seconds": 1.5}
        self._set(
            self.rows.models[model_id], status=ModelStatus.READY, stage=None, progress=100.0, **done
        )
        await self.rows.tell(
            subjects.MODEL_READY, events.ModelReady, **same, status=ModelStatus.READY, **done
        )


class Datasets:
    """Answers what is asked about datasets."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def handlers(self) -> Handlers:
        return {
            subjects.RPC_DATASET_REGISTER: self._register_dataset,
            subjects.RPC_DATASET_LIST: self._list_datasets,
            subjects.RPC_DATASET_GET: self._get_dataset,
            subjects.RPC_DATASET_DELETE: self._delete_dataset,
        }

    async def _register_dataset(self, asked: rpc.RegisterDatasetRequest) -> views.Dataset:
        self.rows.note(asked)
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
        self.rows.datasets[dataset.id] = dataset
        self.rows.begin(self._ingest(dataset))
        return dataset

    async def _ingest(self, dataset: views.Dataset) -> None:
        error = await self.rows.end()
        if error is not None:
            changes: dict[str, Any] = {"status": DatasetStatus.FAILED, "error": error}
            self.rows.datasets[dataset.id] = dataset.model_copy(update=changes)
            await self.rows.tell(
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
        self.rows.datasets[dataset.id] = dataset.model_copy(update=changes)
        await self.rows.tell(
            subjects.DATASET_READY,
            events.DatasetReady,
            dataset_id=dataset.id,
            status=DatasetStatus.READY,
            sample_count=12,
            fingerprint="a" * 32,
        )

    async def _list_datasets(self, asked: rpc.ListDatasetsRequest) -> views.DatasetPage:
        found, total = page(list(self.rows.datasets.values()), asked.limit, asked.offset)
        return views.DatasetPage(
            datasets=found, total=total, limit=asked.limit, offset=asked.offset
        )

    async def _get_dataset(self, asked: rpc.GetDatasetRequest) -> views.Dataset:
        return the(self.rows.datasets, asked.dataset_id, ErrorCode.DATASET_NOT_FOUND, "dataset")

    async def _delete_dataset(self, asked: rpc.DeleteDatasetRequest) -> rpc.Done:
        self.rows.note(asked)
        the(self.rows.datasets, asked.dataset_id, ErrorCode.DATASET_NOT_FOUND, "dataset")
        del self.rows.datasets[asked.dataset_id]
        return rpc.Done()
