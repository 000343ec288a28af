"""Forecasts: what an extraction would take, before it is begun."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pydantic import ValidationError

from mistudio_catalog.domain import disk
from mistudio_catalog.domain.dataset import DatasetState
from mistudio_catalog.domain.device import DeviceState
from mistudio_catalog.domain.extraction import ExtractionState
from mistudio_catalog.domain.forecast import Forecast, forecast
from mistudio_catalog.domain.model import ModelState
from mistudio_catalog.domain.request import resolve
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts import rpc, views
from mistudio_contracts.commands import RequestExtraction
from mistudio_contracts.errors import MiStudioError, ServiceUnavailable
from mistudio_contracts.values import store_key
from mistudio_servicekit.validation import invalid_input

from .context import Context
from .missing import missing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """What the catalog itself knows of an extraction that is asked for."""

    extraction: ExtractionState
    model: ModelState
    dataset: DatasetState
    work_per_second: float | None
    tokens: int | None
    devices: list[DeviceState]

    @property
    def online(self) -> int:
        return sum(device.online for device in self.devices)

    def told(self, probe: rpc.ExtractionProbe) -> Forecast:
        return forecast(
            probe,
            self.model.hook_points,
            self.extraction.dtype,
            self.model.num_layers,
            self.work_per_second,
            self.online,
        )


class Forecasts:
    """Asks an extractor what is missing, and how fast the model is where no shard has told."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def estimate(self, request: rpc.ExtractionRequest) -> views.ExtractionEstimate:
        """Tell what an extraction would take; nothing is begun.

        Raises
        ------
        NotFound, InvalidInput, StatusConflict
            As the request itself.
        """
        try:
            command = RequestExtraction.model_validate(request.command)
        except ValidationError as error:
            raise invalid_input(error) from error
        async with self._context.database.reading() as tx:
            known = await self._known(tx, command, request.actor)
        found = await self._forecast(known)
        return views.ExtractionEstimate(
            estimated_time_seconds=found.seconds,
            estimated_bytes=found.bytes,
            available_bytes=disk.free_bytes(known.devices),
            total_tokens=found.tokens,
            rows_sampled=found.rows_sampled,
            cached=found.seconds == 0 and found.bytes == 0,
            unknown=found.unknown,
        )

    async def before(self, command: RequestExtraction, actor: str) -> Forecast:
        """Return what a request would take; nothing of one that will be refused."""
        try:
            async with self._context.database.reading() as tx:
                known = await self._known(tx, command, actor)
        except MiStudioError as error:
            return Forecast(unknown=error.message)
        return await self._forecast(known)

    async def _forecast(self, known: _Known) -> Forecast:
        model, extraction = known.model, known.extraction
        if model.artifact is None or known.dataset.ref is None:
            return Forecast(unknown="The model is not prepared yet.")
        request = rpc.ProbeExtractionRequest(
            model_id=model.id,
            artifact=model.artifact,
            dataset=known.dataset.ref,
            tokenization=extraction.tokenization,
            sample_count=extraction.rows_considered,
            hook_points=list(extraction.hook_points),
            dtype=extraction.dtype,
            store_key=store_key(
                model.artifact.fingerprint,
                known.dataset.ref.fingerprint,
                extraction.tokenization,
                extraction.dtype,
            ),
            measure=known.work_per_second is None,
        )
        try:
            return known.told(await self._context.probe(request))
        except ServiceUnavailable as error:
            return self._from_history(known, error)
        except MiStudioError as error:
            # What is wrong with the dataset or the tokenizer is told when it is planned.
            return Forecast(unknown=error.message)

    def _from_history(self, known: _Known, error: MiStudioError) -> Forecast:
        """Take everything for missing, and the dataset's rows for as long as they were before."""
        if known.tokens is None:
            log.info("No extractor has answered.", extra={"error": error.message})
            return Forecast(unknown="No extractor has answered.")
        lacking = dict.fromkeys(known.extraction.hook_points, known.tokens)
        return known.told(rpc.ExtractionProbe(tokens=known.tokens, missing=lacking))

    async def _known(self, tx: Transaction, command: RequestExtraction, actor: str) -> _Known:
        model = await tx.models.get(command.model_id)
        if model is None:
            raise missing("model", command.model_id)
        dataset = await tx.datasets.get(command.dataset_id)
        if dataset is None:
            raise missing("dataset", command.dataset_id)
        extraction = resolve(command, model, dataset, actor, self._context.now())
        rows = extraction.rows_considered
        return _Known(
            extraction=extraction,
            model=model,
            dataset=dataset,
            work_per_second=await tx.extractions.work_per_second(model.id),
            tokens=await tx.extractions.tokens_of(dataset.id, extraction.tokenization, rows),
            devices=await tx.devices.of_pool(model.pool),
        )
