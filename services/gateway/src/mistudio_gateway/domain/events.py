"""An event as the WebSocket sends it, and who wants to hear of it."""

from __future__ import annotations

from dataclasses import dataclass

from mistudio_contracts import frames
from mistudio_contracts.events import (
    CacheChecked,
    CacheEvicted,
    CommandRefused,
    DatasetDeleted,
    DatasetEvent,
    DeviceStatus,
    Event,
    ExtractionEvent,
    ModelDeleted,
    ModelEvent,
)
from mistudio_contracts.frames import Frame, Selection


@dataclass(frozen=True)
class PublicEvent:
    """An event and its frame, written once for all clients.

    Attributes
    ----------
    sequence
        Its place in the EVENTS stream; null for live progress, which has none.
    subject
        The contract's subject, for instance ``model.ready``.
    payload
        The event itself.
    text
        The frame as JSON.
    size
        Bytes of the frame.
    """

    sequence: int | None
    subject: str
    payload: Event
    text: str
    size: int


def public_event(sequence: int | None, subject: str, payload: Event) -> PublicEvent:
    """Write the frame of an event.

    Raises
    ------
    KeyError
        When the subject is not an event of the contract.
    """
    frame = Frame(
        id=sequence, type=frames.FRAME_TYPES[subject], data=payload.model_dump(mode="json")
    )
    text = frame.model_dump_json()
    return PublicEvent(sequence, subject, payload, text, len(text.encode()))


class Interest:
    """A client's selection, ready to be asked of each event.

    A cache belongs to whoever hears of any extraction; a refused command to whoever hears of
    the model or extraction it names, or of all of a kind when it names none.
    """

    def __init__(self, selection: Selection) -> None:
        self._models = _as_set(selection.models)
        self._datasets = _as_set(selection.datasets)
        self._extractions = _as_set(selection.extractions)
        self._devices = selection.devices

    def model(self, model_id: str) -> bool:
        """Whether the client hears of this model."""
        return self._models is None or model_id in self._models

    def extraction(self, extraction_id: str) -> bool:
        """Whether the client hears of this extraction."""
        return self._extractions is None or extraction_id in self._extractions

    @property
    def any_model(self) -> bool:
        return self._models is None or bool(self._models)

    @property
    def any_extraction(self) -> bool:
        return self._extractions is None or bool(self._extractions)

    def wants(self, event: Event) -> bool:
        """Whether the client hears of this event."""
        if isinstance(event, ModelEvent | ModelDeleted):
            return self.model(event.model_id)
        if isinstance(event, ExtractionEvent):
            return self.extraction(event.extraction_id)
        if isinstance(event, DatasetEvent | DatasetDeleted):
            return self._datasets is None or event.dataset_id in self._datasets
        if isinstance(event, DeviceStatus):
            return self._devices
        if isinstance(event, CacheEvicted | CacheChecked):
            return self.any_extraction
        if isinstance(event, CommandRefused):
            return self._wants_refusal(event)
        return False

    def _wants_refusal(self, event: CommandRefused) -> bool:
        if event.model_id is None and event.extraction_id is None:
            return self._models is None or self._extractions is None
        return (event.model_id is not None and self.model(event.model_id)) or (
            event.extraction_id is not None and self.extraction(event.extraction_id)
        )


def _as_set(ids: list[str] | None) -> frozenset[str] | None:
    return None if ids is None else frozenset(ids)
