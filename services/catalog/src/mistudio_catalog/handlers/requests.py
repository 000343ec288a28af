"""Requests of the gateway, the heartbeats of devices, and what loaders tell of their disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from faststream.nats import NatsBroker
from pydantic import BaseModel

from mistudio_catalog.letters import DeadLetters
from mistudio_catalog.services.audit import ACTIONS, Audit
from mistudio_catalog.services.catalog import Catalog
from mistudio_contracts import rpc, subjects, views
from mistudio_contracts.states import Door
from mistudio_contracts.subjects import Subject
from mistudio_servicekit.rpc import serve


def register_requests(broker: NatsBroker, catalog: Catalog, letters: DeadLetters) -> None:
    """Answer every request subject of the catalog."""

    async def devices(_: rpc.ListDevicesRequest) -> views.DevicePage:
        return await catalog.devices.page()

    doors: tuple[tuple[Subject, Callable[[Any], Awaitable[BaseModel]]], ...] = (
        (subjects.RPC_MODEL_REGISTER, catalog.models.register),
        (subjects.RPC_MODEL_LIST, catalog.models.page),
        (subjects.RPC_MODEL_GET, catalog.models.get),
        (subjects.RPC_HOOK_POINT_LIST, catalog.models.hook_points),
        (subjects.RPC_MODEL_UPDATE, catalog.models.update),
        (subjects.RPC_MODEL_DELETE, catalog.models.delete),
        (subjects.RPC_MODEL_LOAD, catalog.loads.load),
        (subjects.RPC_MODEL_UNLOAD, catalog.loads.unload),
        (subjects.RPC_MODEL_LOAD_CANCEL, catalog.loads.cancel),
        (subjects.RPC_MODEL_ESTIMATE, catalog.estimates.of_model),
        (subjects.RPC_CHECKPOINT_ESTIMATE, catalog.estimates.of_checkpoint),
        (subjects.RPC_DATASET_REGISTER, catalog.datasets.register),
        (subjects.RPC_DATASET_LIST, catalog.datasets.page),
        (subjects.RPC_DATASET_GET, catalog.datasets.get),
        (subjects.RPC_DATASET_DELETE, catalog.datasets.delete),
        (subjects.RPC_TOKEN_LENGTHS, catalog.lengths.of),
        (subjects.RPC_EXTRACTION_REQUEST, catalog.extractions.request),
        (subjects.RPC_EXTRACTION_ESTIMATE, catalog.forecasts.estimate),
        (subjects.RPC_EXTRACTION_LIST, catalog.extractions.page),
        (subjects.RPC_EXTRACTION_GET, catalog.extractions.get),
        (subjects.RPC_EXTRACTION_CANCEL, catalog.extractions.cancel),
        (subjects.RPC_CACHE_LIST, catalog.caches.page),
        (subjects.RPC_CACHE_GET, catalog.caches.get),
        (subjects.RPC_CACHE_EVICT, catalog.caches.evict),
        (subjects.RPC_AUDIT_LIST, catalog.audit.page),
        (subjects.RPC_DEAD_LIST, letters.page),
        (subjects.RPC_DEAD_GET, letters.get),
        (subjects.RPC_DEAD_REPLAY, letters.replay),
        (subjects.RPC_DEAD_DISCARD, letters.discard),
        (subjects.RPC_DEVICE_LIST, devices),
        (subjects.RPC_DEVICE_REPORT, catalog.devices.report),
        (subjects.RPC_DISK_REPORT, catalog.removals.reported),
    )
    for subject, answer in doors:
        serve(broker, subject, _written(catalog.audit, subject, answer))


def _written(
    audit: Audit, subject: Subject, answer: Callable[[Any], Awaitable[BaseModel]]
) -> Callable[[Any], Awaitable[BaseModel]]:
    """Return what answers a subject, and writes down who asked where it changes something."""
    if subject.pattern not in ACTIONS:
        return answer

    async def act(request: rpc.Request) -> BaseModel:
        return await audit.of(subject, Door.REST, request, lambda: answer(request))

    return act
