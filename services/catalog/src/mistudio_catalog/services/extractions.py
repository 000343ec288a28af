"""Extractions: requested, shown and cancelled."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from mistudio_catalog.domain import disk, ending, extracting
from mistudio_catalog.domain.dataset import DatasetState
from mistudio_catalog.domain.extraction import ExtractionState
from mistudio_catalog.domain.forecast import Forecast
from mistudio_catalog.domain.model import ModelState
from mistudio_catalog.domain.request import resolve
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts import rpc, views
from mistudio_contracts.commands import RequestExtraction
from mistudio_contracts.errors import InvalidInput, RateLimited
from mistudio_contracts.values import store_key
from mistudio_contracts.views import ExtractionAccepted
from mistudio_servicekit.tracing import traceparent
from mistudio_servicekit.validation import invalid_input

from . import views as show
from .context import Context
from .forecasts import Forecasts
from .missing import missing
from .models import lock
from .once import once
from .stores import Stores

RETRY_SECONDS = 30
"""What a refused request is told to wait when nobody knows how long extractions take."""


class Extractions:
    """The register of extractions."""

    def __init__(self, context: Context, stores: Stores, forecasts: Forecasts) -> None:
        self._context = context
        self._stores = stores
        self._forecasts = forecasts

    async def request(self, request: rpc.ExtractionRequest) -> ExtractionAccepted:
        """Accept an extraction; what the cache has is answered from it at once.

        Raises
        ------
        NotFound, InvalidInput, StatusConflict
            What is asked cannot be captured, or not yet.
        RateLimited
            As many extractions as the system takes are queued or running.
        InsufficientStorage
            The disk has by far no room for it.
        """
        try:
            command = RequestExtraction.model_validate(request.command)
        except ValidationError as error:
            raise invalid_input(error) from error
        # Before the transaction: nothing is locked while an extractor measures.
        expected = await self._forecasts.before(command, request.actor)
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx,
                request,
                ExtractionAccepted,
                self._context.now(),
                lambda: self._accept(tx, command, request.actor, expected),
            )
        self._context.wake()
        return answer

    async def _accept(
        self, tx: Transaction, command: RequestExtraction, actor: str, expected: Forecast
    ) -> ExtractionAccepted:
        # One at a time, so that the number of active ones is right.
        await tx.ledger.exclusively("extractions")
        model = await lock(tx, command.model_id)
        dataset = await tx.datasets.lock(command.dataset_id)
        if dataset is None:
            raise missing("dataset", command.dataset_id)
        asked = resolve(command, model, dataset, actor, self._context.now())
        extraction = replace(asked, traceparent=traceparent())
        await self._refuse_taken_id(tx, extraction)
        await tx.extractions.insert(extraction)
        cached = await self._from_cache(tx, extraction, model, dataset)
        if cached is not None:
            return cached
        await self._refuse_too_many(tx)
        if expected.bytes is not None:
            devices = await tx.devices.of_pool(model.pool)
            disk.refuse_far_too_much(expected.bytes, disk.free_bytes(devices))
        await tx.send(extracting.queued(extraction, self._context.now()))
        return ExtractionAccepted(
            extraction_id=extraction.id,
            status=extraction.status,
            estimated_time_seconds=expected.seconds,
            estimated_bytes=expected.bytes,
            estimate_unknown=expected.unknown,
            message="Activation extraction queued",
        )

    async def _refuse_taken_id(self, tx: Transaction, extraction: ExtractionState) -> None:
        if await tx.extractions.get(extraction.id) is not None:
            raise InvalidInput(
                f"There is an extraction {extraction.id} already.",
                field="extraction_id",
                reason="taken",
                remedy="Choose a fresh extraction_id, or leave it out.",
            )

    async def _refuse_too_many(self, tx: Transaction) -> None:
        most = self._context.settings.max_active_extractions
        # This one is a row already; refusing rolls it back.
        if await tx.extractions.count_active() > most:
            raise RateLimited(
                f"{most} extractions are queued or running; no more are taken.",
                reason="active_extractions",
                limit=most,
                retry_after_seconds=RETRY_SECONDS,
                remedy="Wait for one to end, or cancel one.",
            )

    async def _from_cache(
        self,
        tx: Transaction,
        extraction: ExtractionState,
        model: ModelState,
        dataset: DatasetState,
    ) -> ExtractionAccepted | None:
        if model.artifact is None or dataset.ref is None:
            return None
        key = store_key(
            model.artifact.fingerprint,
            dataset.ref.fingerprint,
            extraction.tokenization,
            extraction.dtype,
        )
        await tx.stores.lock(key)
        holding = await self._stores.holding(tx, extraction, key)
        if holding is None:
            return None
        over, effects = ending.completed(extraction, holding, True, self._context.now())
        await tx.extractions.save(over)
        await tx.send(effects)
        return ExtractionAccepted(
            extraction_id=over.id,
            status=over.status,
            estimated_time_seconds=0.0,
            estimated_bytes=0,
            cached=True,
            cache_id=over.cache_id,
            message="Using cached activations",
        )

    async def page(self, request: rpc.ListExtractionsRequest) -> views.ExtractionPage:
        async with self._context.database.reading() as tx:
            found, total = await tx.extractions.page(
                model_id=request.model_id,
                dataset_id=request.dataset_id,
                status=request.status,
                limit=request.limit,
                offset=request.offset,
            )
        return views.ExtractionPage(
            extractions=[show.extraction(each) for each in found],
            total=total,
            limit=request.limit,
            offset=request.offset,
        )

    async def get(self, request: rpc.GetExtractionRequest) -> views.Extraction:
        async with self._context.database.reading() as tx:
            extraction = await tx.extractions.get(request.extraction_id)
        of_another = request.model_id is not None and (
            extraction is not None and extraction.model_id != request.model_id
        )
        if extraction is None or of_another:
            raise missing("extraction", request.extraction_id)
        return show.extraction(extraction)

    async def cancel(self, request: rpc.CancelExtractionRequest) -> views.Extraction:
        """Call an extraction off.

        Raises
        ------
        StatusConflict
            It is over already.
        """
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx,
                request,
                views.Extraction,
                self._context.now(),
                lambda: self._cancel(tx, request),
            )
        self._context.wake()
        return answer

    async def _cancel(
        self, tx: Transaction, request: rpc.CancelExtractionRequest
    ) -> views.Extraction:
        extraction = await tx.extractions.lock(request.extraction_id)
        if extraction is None:
            raise missing("extraction", request.extraction_id)
        over, effects = ending.cancelled(extraction, self._context.now())
        if over is not extraction:
            await tx.extractions.save(over)
            await tx.send(effects)
            await self._stores.abandon(tx, over)
        return show.extraction(over)
