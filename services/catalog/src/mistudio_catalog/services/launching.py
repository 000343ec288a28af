"""Extractions that wait start when their model and their store are free."""

from __future__ import annotations

import logging
from dataclasses import replace

from mistudio_catalog.domain import ending, extracting, loading
from mistudio_catalog.domain.extraction import ExtractionPhase, ExtractionState
from mistudio_catalog.domain.model import ModelPhase, ModelState
from mistudio_catalog.domain.outgoing import Effects
from mistudio_catalog.storage.database import Transaction
from mistudio_contracts.base import new_id
from mistudio_contracts.errors import ErrorBody, ErrorCode
from mistudio_contracts.states import ModelStatus
from mistudio_contracts.values import store_key
from mistudio_servicekit.tracing import traceparent, within

from .context import Context
from .stores import Stores
from .turns import Turns

log = logging.getLogger(__name__)


class Launching:
    """Looks at what waits, and moves what can move."""

    def __init__(self, context: Context, stores: Stores, turns: Turns) -> None:
        self._context = context
        self._stores = stores
        self._turns = turns

    async def advance(self) -> None:
        """Look at every waiting extraction, the oldest first; bring evicted models back."""
        async with self._context.database.reading() as tx:
            waiting = await tx.extractions.waiting()
            evicted = await tx.extractions.working_without_model()
        # After the look, so that each of them has been considered.
        await self._turns.settle()
        for model_id, began in evicted:
            async with self._context.database.transaction() as tx:
                model = await tx.models.lock(model_id)
                if model is not None:
                    with within(began):
                        await self._bring_back(tx, model)
        for extraction_id, model_id in waiting:
            async with self._context.database.transaction() as tx:
                model = await tx.models.lock(model_id)
                extraction = await tx.extractions.lock(extraction_id)
                if model is None or extraction is None:
                    continue
                if extraction.phase is ExtractionPhase.WAITING:
                    with within(extraction.traceparent):
                        await self._look(tx, extraction, model)

    async def _look(self, tx: Transaction, extraction: ExtractionState, model: ModelState) -> None:
        now = self._context.now()
        if model.status is ModelStatus.UNLOADED:
            await self._bring_back(tx, model)
        elif model.status in (ModelStatus.FAILED, ModelStatus.PENDING):
            error = ending.because_of_model(model.error, now)
            await self._save(tx, *ending.failed(extraction, error, now))
        elif model.status is ModelStatus.READY and model.phase is not ModelPhase.RELEASING:
            await self._start(tx, extraction, model)

    async def _bring_back(self, tx: Transaction, model: ModelState) -> None:
        """Load a model that extractions need, once it is its turn."""
        if model.status is not ModelStatus.UNLOADED:
            return
        if not await self._turns.may_run(tx, model.id):
            return
        # Nobody's request: the catalog's own, which no rate limits.
        asked, effects = loading.request_load(model, new_id("task"), self._context.now())
        await tx.models.save(replace(asked, traceparent=traceparent()))
        await tx.send(effects)

    async def _start(self, tx: Transaction, extraction: ExtractionState, model: ModelState) -> None:
        now = self._context.now()
        dataset = await tx.datasets.get(extraction.dataset_id)
        if dataset is None or dataset.ref is None or model.artifact is None:
            await self._save(tx, *ending.failed(extraction, _lost(), now))
            return
        artifact = model.artifact
        key = store_key(
            artifact.fingerprint,
            dataset.ref.fingerprint,
            extraction.tokenization,
            extraction.dtype,
        )
        await tx.stores.lock(key)
        if await tx.stores.eviction_pending(key) or await tx.extractions.running_on_store(key):
            return
        holding = await self._stores.holding(tx, extraction, key)
        if holding is not None:
            await self._save(tx, *ending.completed(extraction, holding, True, now))
            return
        settings = self._context.settings
        begun, effects = extracting.begin(
            extraction, artifact, dataset.ref, key, new_id("task"), settings.shard_tokens, now
        )
        await tx.models.touch(model.id, now)
        await self._save(tx, begun, effects)

    async def _save(self, tx: Transaction, extraction: ExtractionState, effects: Effects) -> None:
        await tx.extractions.save(extraction)
        await tx.send(effects)


def _lost() -> ErrorBody:
    return ErrorBody(
        code=ErrorCode.EXTRACTION_FAILED,
        message="The dataset or the model's artifact is gone.",
        details={
            "reason": "input_gone",
            "remedy": "Register them again, then request the extraction again.",
        },
    )
