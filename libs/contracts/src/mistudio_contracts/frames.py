"""WebSocket frames: what a client sends and what the gateway sends."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .errors import ErrorBody

FRAME_TYPES: dict[str, str] = {
    "model.registered": "model:registered",
    "model.loading": "model:loading",
    "model.load.progress": "model:loading",
    "model.prepared": "model:prepared",
    "model.ready": "model:ready",
    "model.unloaded": "model:unloaded",
    "model.failed": "model:failed",
    "model.deleted": "model:deleted",
    "dataset.registered": "dataset:registered",
    "dataset.ready": "dataset:ready",
    "dataset.failed": "dataset:failed",
    "dataset.deleted": "dataset:deleted",
    "extraction.queued": "extraction:queued",
    "extraction.progress": "extraction:progress",
    "extraction.shard.completed": "extraction:shard_completed",
    "extraction.completed": "extraction:completed",
    "extraction.failed": "extraction:failed",
    "extraction.cancelled": "extraction:cancelled",
    "cache.evicted": "cache:evicted",
    "cache.checked": "cache:checked",
    "device.status": "device:status",
    "command.refused": "command:refused",
}
"""The frame type of each event's subject."""


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Authenticate(_Frame):
    """The first message of a client that did not authenticate by subprotocol."""

    token: str = Field(min_length=1, max_length=8192)


class Selection(_Frame):
    """What to hear of. A null list means everything of that kind; an empty one nothing.

    ``after`` is the id of the last frame seen: the events since are replayed first. ``stream`` is
    what ``subscribed`` named it: in a stream that was made anew the id is nobody's, and all that
    the new one holds is replayed. Who has seen none asks for the ``last`` ones of before instead,
    which count only without ``after``.
    """

    models: list[str] | None = Field(default=None, max_length=10_000)
    datasets: list[str] | None = Field(default=None, max_length=10_000)
    extractions: list[str] | None = Field(default=None, max_length=10_000)
    devices: bool = True
    after: int | None = Field(default=None, ge=0)
    last: int | None = Field(default=None, ge=0, le=1000)
    stream: str | None = Field(default=None, max_length=64)


class Subscribe(_Frame):
    subscribe: Selection


class Frame(_Frame):
    """A frame to the client.

    ``id`` is the sequence of the event in the EVENTS stream, to be given back as ``after``; live
    progress, which cannot be replayed, has null.
    """

    id: int | None = None
    type: str
    data: dict[str, Any]


class Subscribed(_Frame):
    """The answer to ``subscribe``; replayed frames follow, then live ones.

    ``data`` names the ``stream`` that ids are of, and has ``gap`` where events since ``after`` are
    no longer kept.
    """

    type: Literal["subscribed"] = "subscribed"
    id: int | None = Field(default=None, description="The newest event's sequence.")
    data: dict[str, Any] = Field(default_factory=dict)


class ErrorFrame(_Frame):
    type: Literal["error"] = "error"
    id: None = None
    data: ErrorBody
