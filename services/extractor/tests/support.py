"""A pool's disk with artifacts and datasets, and orders made by hand."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mistudio_contracts import Dtype, Quantization, new_id
from mistudio_contracts.reports import ExtractionPlannedReport
from mistudio_contracts.values import Artifact, DatasetRef, ShardPlan, Tokenization
from mistudio_contracts.values import store_key as key_of
from mistudio_contracts.work import CaptureShard, CommitExtraction, PlaceModel, PlanExtraction
from mistudio_extractor.config import ExtractorSettings

POINTS = ["layers.0.resid_post", "layers.2.resid_post"]


@dataclass
class Disk:
    """What loader and catalog would have made: artifacts and datasets of one pool."""

    root: Path
    url: str = "nats://127.0.0.1:4222"
    extra: dict[str, Any] = field(default_factory=dict)
    kernel_check_delay_seconds: float = 3600.0
    """Tests that ask for no quantised format need not wait for their check."""

    @property
    def settings(self) -> ExtractorSettings:
        return ExtractorSettings(
            nats_url=self.url,
            model_cache_dir=self.root / "models",
            dataset_cache_dir=self.root / "datasets",
            activation_cache_dir=self.root / "activations",
            device_id_file=self.root / "device-id",
            kernel_cache_dir=self.root / "kernels",
            kernel_check_delay_seconds=self.kernel_check_delay_seconds,
            device="cpu",
            **self.extra,
        )

    @property
    def environment(self) -> dict[str, str]:
        settings = self.settings
        return {
            "NATS_URL": self.url,
            "MODEL_CACHE_DIR": str(settings.model_cache_dir),
            "DATASET_CACHE_DIR": str(settings.dataset_cache_dir),
            "ACTIVATION_CACHE_DIR": str(settings.activation_cache_dir),
            "DEVICE_ID_FILE": str(settings.device_id_file),
            "KERNEL_CACHE_DIR": str(settings.kernel_cache_dir),
            "KERNEL_CHECK_DELAY_SECONDS": str(self.kernel_check_delay_seconds),
            "MISTUDIO_DEVICE": "cpu",
        }

    def artifact(self, model: Path, dtype: Dtype = Dtype.FLOAT32) -> Artifact:
        """Put a model's files where the loader would, once for each directory."""
        fingerprint = hashlib.sha256(str(model).encode()).hexdigest()[:32]
        target = self.root / "models" / fingerprint
        if not target.exists():
            shutil.copytree(model, target)
            facts = {"source": "local", "revision": None, "dtype": dtype.value}
            (target / "artifact.json").write_text(json.dumps(facts))
        size = sum(p.stat().st_size for p in target.glob("*.safetensors"))
        return Artifact(
            fingerprint=fingerprint, quantization=Quantization.NONE, dtype=dtype, bytes=size
        )

    def directory(self, artifact: Artifact) -> Path:
        return self.root / "models" / artifact.fingerprint

    def dataset(
        self, values: list[Any], column: str = "text", kind: Any = None, group: int = 1000
    ) -> DatasetRef:
        """Write a canonical dataset of one column."""
        table = pa.table({column: pa.array(values, kind)})
        fingerprint = hashlib.sha256(repr((column, values)).encode()).hexdigest()[:32]
        path = self.root / "datasets" / fingerprint / "data.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=group)
        return DatasetRef(
            dataset_id=new_id("ds"), fingerprint=fingerprint, sample_count=len(values)
        )

    def store(self, order: Any) -> Path:
        return self.root / "activations" / str(order.store_key)

    def left_over(self) -> list[str]:
        """What is written and not yet, or no more, of any use."""
        return [str(p) for p in (self.root / "activations").rglob("*.partial")]


def place_order(artifact: Artifact, **fields: Any) -> PlaceModel:
    return PlaceModel(
        **{"task_id": new_id("task"), "model_id": new_id("m"), "artifact": artifact, **fields}
    )


def plan_order(artifact: Artifact, dataset: DatasetRef, **fields: Any) -> PlanExtraction:
    """Return a plan's order, its store's key made as the catalog makes it."""
    column = fields.pop("column", "text")
    how = fields.pop("tokenization", Tokenization(column=column))
    dtype = fields.pop("dtype", Dtype.FLOAT32)
    given: dict[str, Any] = {
        "task_id": new_id("task"),
        "extraction_id": new_id("ext"),
        "model_id": new_id("m"),
        "hook_points": POINTS,
        **fields,
    }
    key = key_of(artifact.fingerprint, dataset.fingerprint, how, dtype)
    return PlanExtraction(
        artifact=artifact, dataset=dataset, tokenization=how, dtype=dtype, store_key=key, **given
    )


def shard_order(plan: PlanExtraction, shard: ShardPlan, **fields: Any) -> CaptureShard:
    return CaptureShard(
        task_id=plan.task_id,
        extraction_id=plan.extraction_id,
        model_id=plan.model_id,
        artifact=plan.artifact,
        dtype=plan.dtype,
        store_key=plan.store_key,
        shard=shard,
        **fields,
    )


def commit_order(plan: PlanExtraction, planned: ExtractionPlannedReport) -> CommitExtraction:
    return CommitExtraction(
        task_id=plan.task_id,
        extraction_id=plan.extraction_id,
        model_id=plan.model_id,
        artifact=plan.artifact,
        dataset=plan.dataset,
        tokenization=plan.tokenization,
        dtype=plan.dtype,
        store_key=plan.store_key,
        hook_points=plan.hook_points,
        samples=planned.samples,
        tokens=planned.tokens,
        skipped=planned.skipped,
        shards=len(planned.shards),
        rows_considered=plan.sample_count or plan.dataset.sample_count,
    )
