"""Estimates: what a model would take on a device, before anything is downloaded."""

from __future__ import annotations

from datetime import datetime

from mistudio_catalog.domain import identifiers
from mistudio_catalog.domain.device import DeviceState
from mistudio_catalog.domain.estimate import Subject, choose_device, estimate
from mistudio_catalog.domain.model import ModelState
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts import rpc, views
from mistudio_contracts.states import Quantization, Source
from mistudio_contracts.values import ModelFacts, QuantizationOptions

from .context import Context
from .missing import missing


class Estimates:
    """Answers whether a model fits."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def of_model(self, request: rpc.EstimateModelRequest) -> views.Estimate:
        """Estimate for a registered model, on the device that holds it or the roomiest.

        Raises
        ------
        NotFound
            There is no such model.
        ServiceUnavailable
            The model was registered unseen, and no loader answers to look at it now.
        InvalidInput
            Its checkpoint is unfit.
        """
        async with self._context.database.reading() as tx:
            model = await tx.models.get(request.model_id)
            if model is None:
                raise missing("model", request.model_id)
            device, used = await _device(tx, model.pool, model.device_id, request.quantization)
        subject = _registered(model, request.quantization_options)
        if not model.config:
            facts = await self._inspect(model.source, model.model_identifier, model.revision)
            subject = _seen(model.source, model.model_identifier, facts, model.id)
        return estimate(subject, device, used, request.quantization, request.quantization_options)

    async def of_checkpoint(self, request: rpc.EstimateCheckpointRequest) -> views.Estimate:
        """Estimate for a checkpoint that is not registered; a loader reads its config alone.

        Raises
        ------
        InvalidInput
            The identifier is malformed, or the checkpoint unfit.
        ServiceUnavailable
            No loader answers.
        """
        identifiers.check_model_identifier(request.source, request.model_identifier)
        facts = await self._inspect(request.source, request.model_identifier, request.revision)
        async with self._context.database.reading() as tx:
            pool = self._context.settings.pool
            device, used = await _device(tx, pool, None, request.quantization)
        subject = _seen(request.source, request.model_identifier, facts)
        return estimate(subject, device, used, request.quantization, request.quantization_options)

    async def _inspect(
        self, source: Source, model_identifier: str, revision: str | None
    ) -> ModelFacts:
        return await self._context.inspect(
            rpc.InspectModelRequest(
                source=source, model_identifier=model_identifier, revision=revision
            )
        )


async def _device(
    tx: Transaction, pool: str, holding: str | None, quantization: Quantization | None
) -> tuple[DeviceState | None, dict[str, datetime]]:
    device = choose_device(await tx.devices.of_pool(pool), holding, quantization)
    if device is None:
        return None, {}
    residents = await tx.models.by_ids(device.resident_ids)
    return device, {each.id: each.last_used_at or each.created_at for each in residents}


def _registered(model: ModelState, options: QuantizationOptions) -> Subject:
    kept = model.artifact_quantization
    same = kept is not Quantization.INT4 or options == model.artifact_options
    on_disk = {kept: model.artifact_bytes} if kept and same and model.artifact_bytes else {}
    return Subject(
        model.model_identifier,
        model.config,
        model.checkpoint_dtype,
        model.weight_bytes,
        model.source is Source.HUGGINGFACE,
        on_disk,
        model.id,
    )


def _seen(
    source: Source, model_identifier: str, facts: ModelFacts, model_id: str | None = None
) -> Subject:
    hub = source is Source.HUGGINGFACE
    return Subject(
        model_identifier, facts.config, facts.dtype, facts.weight_bytes, hub, {}, model_id
    )
