"""From the catalog's states to the resources that others see."""

from __future__ import annotations

from collections.abc import Sequence

from mistudio_catalog.domain.cache import CacheState
from mistudio_catalog.domain.dataset import DatasetState
from mistudio_catalog.domain.device import DeviceState
from mistudio_catalog.domain.extraction import ExtractionState
from mistudio_catalog.domain.model import ModelState
from mistudio_contracts import views
from mistudio_contracts.hooks import layer_of
from mistudio_contracts.values import ColumnSummary


def model_summary(model: ModelState) -> views.ModelSummary:
    """Return a model as lists show it."""
    return views.ModelSummary(
        id=model.id,
        name=model.name,
        model_type=model.model_type,
        architecture=model.architecture,
        source=model.source,
        model_identifier=model.model_identifier,
        revision=model.revision,
        quantization=model.quantization,
        quantization_options=model.quantization_options,
        pinned=model.pinned,
        keep_alive_seconds=model.keep_alive_seconds,
        offload=model.offload,
        status=model.status,
        stage=model.stage,
        progress=model.progress,
        parameter_count=model.parameter_count,
        hidden_size=model.hidden_size,
        num_layers=model.num_layers,
        vocab_size=model.vocab_size,
        context_length=model.context_length,
        memory_usage_bytes=model.memory_usage_bytes,
        disk_bytes=model.artifact_bytes,
        load_time_seconds=model.load_time_seconds,
        dtype=model.dtype,
        fingerprint=model.fingerprint,
        task_id=model.task_id,
        error=model.error,
        created_at=model.created_at,
        loaded_at=model.loaded_at,
        last_used_at=model.last_used_at,
        updated_at=model.updated_at,
    )


def model(state: ModelState) -> views.Model:
    """Return a model with its config and what quantising changed.

    The fidelity is of the files on disk: none where they are of another format than asked for.
    """
    fidelity = None if state.artifact is None else state.fidelity
    return views.Model(**dict(model_summary(state)), config=state.config, fidelity=fidelity)


def dataset(state: DatasetState) -> views.Dataset:
    """Return a dataset."""
    return views.Dataset(
        id=state.id,
        name=state.name,
        source=state.source,
        identifier=state.identifier,
        format=state.format,
        status=state.status,
        fingerprint=state.fingerprint,
        sample_count=state.sample_count,
        file_size_bytes=state.file_size_bytes,
        columns=state.columns,
        text_column=state.text_column,
        preview=state.preview,
        error=state.error,
        created_at=state.created_at,
        updated_at=state.updated_at,
    )


def layers(hook_points: Sequence[str]) -> list[int]:
    """Return the layers of hook points, in order and without repeats."""
    found = {layer_of(each) for each in hook_points}
    return sorted(layer for layer in found if layer is not None)


def extraction(state: ExtractionState) -> views.Extraction:
    """Return an extraction."""
    return views.Extraction(
        extraction_id=state.id,
        model_id=state.model_id,
        dataset_id=state.dataset_id,
        status=state.status,
        progress=state.progress,
        layer_indices=layers(state.hook_points),
        hook_points=list(state.hook_points),
        dtype=state.dtype,
        tokenization=state.tokenization,
        samples_processed=state.samples_processed,
        total_samples=state.counted_samples,
        total_tokens=state.counted_tokens,
        skipped=state.skipped,
        cached=state.cached,
        cache_id=state.cache_id,
        storage_path=state.storage_path,
        file_size_bytes=state.file_size_bytes,
        activation_shape=_shape(state.counted_tokens, state.width),
        extraction_time_seconds=state.extraction_time_seconds,
        seconds_left=state.seconds_left,
        error=state.error,
        created_at=state.created_at,
        started_at=state.started_at,
        completed_at=state.completed_at,
        updated_at=state.updated_at,
    )


def _shape(tokens: int | None, width: int | None) -> list[int] | None:
    return None if tokens is None or width is None else [tokens, width]


def cache(state: CacheState, columns: Sequence[ColumnSummary] = ()) -> views.Cache:
    """Return a cache; pages leave the columns' statistics out."""
    return views.Cache(
        id=state.id,
        model_id=state.model_id,
        dataset_id=state.dataset_id,
        extraction_id=state.extraction_id,
        status=state.status,
        store_key=state.store_key,
        storage_path=state.storage_path,
        dtype=state.dtype,
        tokenization=state.tokenization,
        rows_considered=state.rows_considered,
        sample_count=state.sample_count,
        token_count=state.token_count,
        layer_indices=layers(state.hook_points),
        hook_points=list(state.hook_points),
        activation_shape=_shape(state.token_count, state.width),
        file_size_bytes=state.file_size_bytes,
        extraction_time_seconds=state.extraction_time_seconds,
        columns=list(columns),
        created_at=state.created_at,
        last_accessed_at=state.last_accessed_at,
    )


def device(state: DeviceState) -> views.Device:
    """Return a device."""
    return views.Device(
        id=state.id,
        pool=state.pool,
        kind=state.kind,
        name=state.name,
        online=state.online,
        memory_total_bytes=state.memory_total_bytes,
        memory_budget_bytes=state.memory_budget_bytes,
        memory_used_bytes=state.memory_used_bytes,
        memory_free_bytes=state.memory_free_bytes,
        unavailable_formats=state.unavailable_formats,
        resident_models=state.resident_ids if state.online else [],
        store_bytes=state.store_bytes,
        store_free_bytes=state.store_free_bytes,
        started_at=state.started_at,
        last_seen_at=state.last_seen_at,
    )
