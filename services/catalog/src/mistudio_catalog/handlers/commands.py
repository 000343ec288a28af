"""Commands from the bus: the same services as the requests, with a refusal as an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from faststream.nats import NatsBroker

from mistudio_catalog.domain.outgoing import Outgoing
from mistudio_catalog.services.catalog import Catalog
from mistudio_catalog.services.loads import SYSTEM
from mistudio_contracts import commands as c
from mistudio_contracts import events, rpc, subjects
from mistudio_contracts.errors import InvalidInput, MiStudioError
from mistudio_contracts.states import Door
from mistudio_contracts.subjects import Subject
from mistudio_servicekit.consume import Delivery, consume

RETRIES = 8
KEY_LENGTH = 200


def register_commands(broker: NatsBroker, catalog: Catalog) -> None:
    """Read every command subject."""
    doors: tuple[tuple[Subject, Callable[[Any, _Meta], Awaitable[object]]], ...] = (
        (
            subjects.MODEL_LOAD,
            lambda command, meta: catalog.loads.load(
                rpc.LoadModelRequest(
                    model_id=command.model_id,
                    quantization=command.quantization,
                    quantization_options=command.quantization_options,
                    force=command.force,
                    **meta.of(command),
                )
            ),
        ),
        (
            subjects.MODEL_UNLOAD,
            lambda command, meta: catalog.loads.unload(
                rpc.UnloadModelRequest(model_id=command.model_id, **meta.of(command))
            ),
        ),
        (
            subjects.MODEL_LOAD_CANCEL,
            lambda command, meta: catalog.loads.cancel(
                rpc.CancelLoadRequest(model_id=command.model_id, **meta.of(command))
            ),
        ),
        (
            subjects.MODEL_DELETE,
            lambda command, meta: catalog.models.delete(
                rpc.DeleteModelRequest(model_id=command.model_id, **meta.of(command))
            ),
        ),
        (
            subjects.EXTRACTION,
            lambda command, meta: catalog.extractions.request(
                rpc.ExtractionRequest(command=command.model_dump(mode="json"), **meta.of(command))
            ),
        ),
        (
            subjects.EXTRACTION_CANCEL,
            lambda command, meta: catalog.extractions.cancel(
                rpc.CancelExtractionRequest(extraction_id=command.extraction_id, **meta.of(command))
            ),
        ),
        (
            subjects.CACHE_EVICT,
            lambda command, meta: catalog.caches.evict(
                rpc.EvictCacheRequest(cache_id=command.cache_id, **meta.of(command))
            ),
        ),
    )
    for subject, act in doors:
        _open(broker, catalog, subject, act)


@dataclass(frozen=True)
class _Meta:
    delivery: Delivery

    def of(self, command: c.Command) -> dict[str, Any]:
        # A redelivered command is a repeated request: its message id is the key.
        key = f"bus:{self.delivery.message_id}"[:KEY_LENGTH]
        return {"actor": command.requested_by, "idempotency_key": key}


def _open(
    broker: NatsBroker,
    catalog: Catalog,
    subject: Subject,
    act: Callable[[Any, _Meta], Awaitable[object]],
) -> None:
    async def handle(command: c.Command, delivery: Delivery) -> None:
        if command.requested_by == SYSTEM:
            raise InvalidInput(
                f"Nobody but the catalog is called {SYSTEM}.",
                field="requested_by",
                reason="reserved",
                remedy="Name who asks, or leave it out.",
            )
        async with catalog.database.reading() as tx:
            if await tx.ledger.was_handled(delivery.message_id):
                # It was refused, and is there again because the bus did not hear that it is done
                # with. What is possible by now was told to be impossible.
                return
        await catalog.audit.of(subject, Door.BUS, command, lambda: act(command, _Meta(delivery)))

    async def refuse(command: c.Command, error: MiStudioError, delivery: Delivery) -> None:
        event = events.CommandRefused(
            command_id=delivery.message_id,
            command=subject.pattern,
            error=error.body(),
            model_id=getattr(command, "model_id", None),
            extraction_id=getattr(command, "extraction_id", None),
        )
        entity = event.extraction_id or event.model_id or event.command_id
        async with catalog.database.transaction() as tx:
            if await tx.ledger.first_handling(delivery.message_id, subject.pattern):
                await tx.send((Outgoing(subjects.COMMAND_REFUSED, event, entity),))

    consume(broker, subject, handle, on_give_up=refuse, retries=RETRIES)
