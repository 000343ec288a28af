"""Models: registered, shown, changed and deleted."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import Any

from mistudio_catalog.domain import hooks, identifiers, loading, residency
from mistudio_catalog.domain.formats import check_available
from mistudio_catalog.domain.model import ModelState, described
from mistudio_catalog.domain.outgoing import Effects, Outgoing
from mistudio_catalog.storage.database import Transaction
from mistudio_catalog.storage.removals import Removal
from mistudio_contracts import events, rpc, subjects, views
from mistudio_contracts.base import new_id
from mistudio_contracts.errors import (
    InvalidInput,
    PreconditionFailed,
    ServiceUnavailable,
    StatusConflict,
)
from mistudio_contracts.states import ModelStatus
from mistudio_contracts.values import ModelFacts
from mistudio_servicekit.tracing import traceparent

from . import views as show
from .context import Context
from .missing import missing
from .once import answered, once
from .stores import Stores

log = logging.getLogger(__name__)


class Models:
    """The register of models."""

    def __init__(self, context: Context, stores: Stores) -> None:
        self._context = context
        self._stores = stores

    async def register(self, request: rpc.RegisterModelRequest) -> views.Model:
        """Register a model; with ``auto_load`` its load begins at once.

        Raises
        ------
        InvalidInput
            The identifier or the given type is wrong, the loader found the checkpoint unfit, or
            it is to be loaded at once in a format that no device can compute with.
        """
        async with self._context.database.reading() as tx:
            known = await answered(tx, request, views.Model)
        if known is not None:
            return known
        identifiers.check_model_identifier(request.source, request.model_identifier)
        facts = await self._facts(request)
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx,
                request,
                views.Model,
                self._context.now(),
                lambda: self._insert(tx, request, facts),
            )
        self._context.wake()
        return answer

    async def _facts(self, request: rpc.RegisterModelRequest) -> ModelFacts | None:
        ask = rpc.InspectModelRequest(
            source=request.source,
            model_identifier=request.model_identifier,
            revision=request.revision,
        )
        try:
            facts = await self._context.inspect(ask)
        except ServiceUnavailable as error:
            # The load will find out; registering must not depend on a running loader.
            log.warning("A model is registered unseen.", extra={"reason": error.message})
            return None
        if request.model_type is not None and request.model_type != facts.model_type:
            raise InvalidInput(
                f"The checkpoint is of type {facts.model_type!r}, not {request.model_type!r}.",
                field="model_type",
                reason="model_type_differs",
                remedy=f"Leave model_type out, or write {facts.model_type}.",
            )
        return facts

    async def _insert(
        self, tx: Transaction, request: rpc.RegisterModelRequest, facts: ModelFacts | None
    ) -> views.Model:
        now = self._context.now()
        model = ModelState(
            id=new_id("m", request.name),
            pool=self._context.settings.pool,
            name=request.name,
            source=request.source,
            model_identifier=request.model_identifier,
            quantization=request.quantization,
            quantization_options=request.quantization_options,
            pinned=request.pinned,
            keep_alive_seconds=request.keep_alive_seconds,
            offload=request.offload,
            revision=request.revision,
            model_type=request.model_type,
            created_at=now,
            updated_at=now,
        )
        if facts is not None:
            model = replace(model, **described(facts), revision=facts.revision or request.revision)
        event = events.ModelRegistered(
            model_id=model.id, status=model.status, name=model.name, timestamp=now
        )
        effects: Effects = (Outgoing(subjects.MODEL_REGISTERED, event, model.id),)
        if request.auto_load:
            check_available(model.quantization, await tx.devices.of_pool(model.pool))
            model, begun = loading.request_load(model, new_id("task"), now)
            model, effects = replace(model, traceparent=traceparent()), (*effects, *begun)
        await tx.models.insert(model)
        await tx.send(effects)
        return show.model(model)

    async def page(self, request: rpc.ListModelsRequest) -> views.ModelPage:
        async with self._context.database.reading() as tx:
            found, total = await tx.models.page(
                status=request.status,
                model_type=request.model_type,
                search=request.search,
                limit=request.limit,
                offset=request.offset,
            )
        return views.ModelPage(
            models=[show.model_summary(model) for model in found],
            total=total,
            limit=request.limit,
            offset=request.offset,
        )

    async def get(self, request: rpc.GetModelRequest) -> views.Model:
        async with self._context.database.reading() as tx:
            model = await tx.models.get(request.model_id)
        if model is None:
            raise missing("model", request.model_id)
        return show.model(model)

    async def hook_points(self, request: rpc.ListHookPointsRequest) -> views.HookPointList:
        """List a model's hook points.

        Raises
        ------
        NotFound
            There is no such model.
        StatusConflict
            It was never placed.
        """
        async with self._context.database.reading() as tx:
            model = await tx.models.get(request.model_id)
        if model is None:
            raise missing("model", request.model_id)
        return hooks.listed(model)

    async def update(self, request: rpc.UpdateModelRequest) -> views.Model:
        """Change a model's name, how it is kept, or the format of its next load.

        How it is kept counts from the next heartbeat of its device on; ``offload`` from the next
        load on.

        Raises
        ------
        PreconditionFailed
            ``if_match`` names an older version.
        StatusConflict
            It is loading; or it is in memory, or in use, in another format.
        """
        async with self._context.database.transaction() as tx:
            model = await lock(tx, request.model_id)
            if request.if_match is not None and request.if_match != model.updated_at:
                raise PreconditionFailed(
                    "The model was changed since.",
                    field="If-Match",
                    reason="changed_since",
                    remedy="Read the model again and repeat the change on what it is now.",
                )
            changes = not model.is_of(request.quantization, request.quantization_options)
            if model.status is ModelStatus.LOADING:
                raise StatusConflict(
                    "The model is being loaded.",
                    reason="loading",
                    status=str(model.status),
                    remedy="Wait for the load, or cancel it.",
                )
            if changes and model.status is ModelStatus.READY:
                raise StatusConflict(
                    f"The model is in memory as {model.quantization}.",
                    reason="ready",
                    status=str(model.status),
                    remedy="Unload it first.",
                )
            if changes:
                await refuse_while_used(tx, model)
            changed = replace(model, **_changes(request), updated_at=self._context.now())
            await tx.models.save(changed)
        return show.model(changed)

    async def delete(self, request: rpc.DeleteModelRequest) -> rpc.Done:
        """Delete a model with its caches; files that nobody else has leave the disk.

        Raises
        ------
        StatusConflict
            Extractions on it are queued or running.
        """
        async with self._context.database.transaction() as tx:
            answer = await once(
                tx,
                request,
                rpc.Done,
                self._context.now(),
                lambda: self._delete(tx, request.model_id),
            )
        self._context.wake()
        return answer

    async def _delete(self, tx: Transaction, model_id: str) -> rpc.Done:
        now = self._context.now()
        model = await lock(tx, model_id)
        await refuse_while_used(tx, model)
        stores = await tx.extractions.stores_of_model(model.id)
        caches = await tx.caches.of_model(model.id)
        await tx.models.delete(model.id)
        freed = {key: await self._stores.let_go(tx, key, model.pool) for key in sorted(stores)}
        gone = events.ModelDeleted(model_id=model.id, timestamp=now)
        await tx.send(
            (
                *_stop(model),
                residency.release(model),
                # The first cache of a store carries what the store's columns freed.
                *(_evicted(cache, freed.pop(key, 0), now) for cache, key in caches),
                Outgoing(subjects.MODEL_DELETED, gone, model.id),
            )
        )
        if model.fingerprint is not None:
            await tx.removals.insert(Removal("model", model.fingerprint, model.pool))
        return rpc.Done()


def _changes(request: rpc.UpdateModelRequest) -> dict[str, Any]:
    """Return the fields that a request changes; of its nulls only that of the keep-alive counts."""
    named = ("name", "quantization", "quantization_options", "pinned", "offload")
    given = {name: getattr(request, name) for name in named}
    changes = {name: value for name, value in given.items() if value is not None}
    if "keep_alive_seconds" in request.model_fields_set:
        changes["keep_alive_seconds"] = request.keep_alive_seconds
    return changes


def _stop(model: ModelState) -> Effects:
    if model.status is not ModelStatus.LOADING or model.task_id is None:
        return ()
    stop = rpc.CancelWork(task_ids=[model.task_id])
    return (Outgoing(subjects.CONTROL_CANCEL, stop, model.id, model.pool),)


async def lock(tx: Transaction, model_id: str) -> ModelState:
    """Return the locked model, or raise NotFound."""
    model = await tx.models.lock(model_id)
    if model is None:
        raise missing("model", model_id)
    return model


async def refuse_while_used(tx: Transaction, model: ModelState) -> None:
    """Raise StatusConflict while extractions on the model are queued or running."""
    active = await tx.extractions.count_active_on_model(model.id)
    if active:
        raise residency.in_use(model, active)


def _evicted(cache_id: str, freed_bytes: int, now: datetime) -> Outgoing:
    event = events.CacheEvicted(cache_id=cache_id, freed_bytes=freed_bytes, timestamp=now)
    return Outgoing(subjects.CACHE_EVICTED, event, cache_id)
