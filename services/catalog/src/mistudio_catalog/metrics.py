"""What Prometheus sees of the catalog: what ended, what is under way, and what waits."""

from __future__ import annotations

from mistudio_contracts.states import ExtractionStatus, LoadStage, ModelStatus
from mistudio_footprint import FAMILIES
from mistudio_servicekit.metering import ELSEWHERE, LONG_SECONDS, SHORT_SECONDS, Meters

from .domain.extraction import ExtractionPhase
from .domain.model import ModelPhase

OTHER, UNKNOWN = "other", "unknown"
"""Families that we do not know, and those of models of which nothing is known yet."""

READY, FAILED, CANCELLED = "ready", "failed", "cancelled"
WAITING = "waiting"
STAGES = (WAITING, *map(str, LoadStage))

_FAMILIES = (*FAMILIES, OTHER, UNKNOWN)
_ENDINGS = (
    (READY, str(LoadStage.PLACING)),
    *((FAILED, str(stage)) for stage in LoadStage),
    *((CANCELLED, stage) for stage in STAGES),
)
_LOADING = (ModelPhase.WAITING, ModelPhase.PREPARING, ModelPhase.PLACING)
_EXTRACTING = tuple(phase for phase in ExtractionPhase if phase is not ExtractionPhase.DONE)


def family_of(model_type: str | None) -> str:
    """Return a model's family as a label: one of a few words."""
    if model_type is None:
        return UNKNOWN
    return model_type if model_type in FAMILIES else OTHER


class Metrics:
    """The catalog's own metrics. Replicas each count what they commit, and show the same state.

    Parameters
    ----------
    meters
        Where they are declared.
    """

    def __init__(self, meters: Meters) -> None:
        self.loads = meters.counter(
            "mistudio_catalog_loads_total",
            "Loads that ended: how, in which stage, and the model's family.",
            only=[(*ending, family) for ending in _ENDINGS for family in _FAMILIES],
            outcome=(READY, FAILED, CANCELLED),
            stage=STAGES,
            family=_FAMILIES,
        )
        self.load_seconds = meters.histogram(
            "mistudio_catalog_load_seconds",
            "Seconds from a load's slot to its model in device memory.",
            LONG_SECONDS,
        )
        self.extractions = meters.counter(
            "mistudio_catalog_extractions_total",
            "Extractions that ended, by how.",
            outcome=tuple(status for status in ExtractionStatus if status.terminal),
        )
        self.extraction_seconds = meters.histogram(
            "mistudio_catalog_extraction_seconds",
            "Seconds from a request to its end, of completed extractions that computed something.",
            LONG_SECONDS,
        )
        self.cache_answers = meters.counter(
            "mistudio_catalog_cache_answers_total",
            "Completed extractions: a hit computed nothing, a miss something.",
            result=("hit", "miss"),
        )
        self.saved_bytes = meters.counter(
            "mistudio_catalog_cache_saved_bytes_total",
            "Bytes of activations that extractions found in the store, so did not have computed.",
        )
        self.acquire_seconds = meters.histogram(
            "mistudio_catalog_database_acquire_seconds",
            "Seconds until a connection of the database pool was there.",
            SHORT_SECONDS,
        )
        self._state(meters)
        self._bus(meters)

    def _state(self, meters: Meters) -> None:
        self.models = meters.gauge(
            "mistudio_catalog_models", "Models registered, by status.", status=tuple(ModelStatus)
        )
        self.loading = meters.gauge(
            "mistudio_catalog_loads_in_progress",
            "Loads under way: waiting for a slot, preparing, placing.",
            phase=_LOADING,
        )
        self.extracting = meters.gauge(
            "mistudio_catalog_extractions_in_progress",
            "Extractions under way: waiting for model or store, planning, capturing, committing.",
            phase=_EXTRACTING,
        )
        self.waiting_seconds = meters.gauge(
            "mistudio_catalog_waiting_seconds",
            "How long the load or extraction that has waited longest to begin has done so.",
            kind=("load", "extraction"),
        )
        self.devices = meters.gauge(
            "mistudio_catalog_devices",
            "Devices that speak, and those that have been silent for less than a week.",
            state=("online", "offline"),
        )
        self.store_bytes = meters.gauge(
            "mistudio_catalog_store_bytes", "Bytes of activations that are kept."
        )
        self.store_limit_bytes = meters.gauge(
            "mistudio_catalog_store_limit_bytes", "Bytes of activations that may be kept."
        )
        self.outbox_messages = meters.gauge(
            "mistudio_catalog_outbox_messages", "Messages that wait in the outbox."
        )
        self.outbox_lag = meters.gauge(
            "mistudio_catalog_outbox_lag_seconds",
            "How long the oldest message of the outbox has waited.",
        )
        self.outbox_parked = meters.gauge(
            "mistudio_catalog_outbox_parked_messages",
            "Messages set aside because the bus will never take them.",
        )
        self.connections = meters.gauge(
            "mistudio_catalog_database_connections",
            "Connections of the database pool.",
            state=("idle", "in_use"),
        )
        self.connections_limit = meters.gauge(
            "mistudio_catalog_database_connections_limit", "Connections that the pool may open."
        )

    def _bus(self, meters: Meters) -> None:
        self.queue_messages = meters.gauge(
            "mistudio_catalog_queue_messages",
            "Messages of a durable subject that wait for a worker or are in one's hand.",
            subject=ELSEWHERE,
            state=("waiting", "in_hand"),
        )
        self.queue_seconds = meters.gauge(
            "mistudio_catalog_queue_age_seconds",
            "Age of the oldest message of a durable subject, in hand or not; 0 without any.",
            subject=ELSEWHERE,
        )
        self.queue_workers = meters.gauge(
            "mistudio_catalog_queue_workers",
            "Workers of a durable subject: they ask for a message, or have one in hand.",
            subject=ELSEWHERE,
        )
        self.dead_letters = meters.gauge(
            "mistudio_catalog_dead_letters",
            "Messages that could not be handled and that nobody has replayed or discarded.",
        )
