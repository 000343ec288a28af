"""What Prometheus sees of a loader's work."""

from __future__ import annotations

from mistudio_contracts import LoadStage
from mistudio_servicekit.metering import LONG_SECONDS, Meters

STAGES = tuple(stage for stage in LoadStage if stage is not LoadStage.PLACING)
"""The stages of a load that are a loader's."""


class Metrics:
    """A loader's own metrics.

    Parameters
    ----------
    meters
        Where they are declared; in a registry of their own by default.
    """

    def __init__(self, meters: Meters | None = None) -> None:
        meters = meters or Meters()
        self.preparations = meters.counter(
            "mistudio_loader_preparations_total",
            "Attempts to prepare a model, by what became of them.",
            outcome=("prepared", "failed", "cancelled"),
        )
        self.prepare_seconds = meters.histogram(
            "mistudio_loader_prepare_seconds",
            "Seconds to prepare a model, of the attempts that did.",
            LONG_SECONDS,
        )
        self.stage_seconds = meters.histogram(
            "mistudio_loader_stage_seconds",
            "Seconds that an attempt spent in a stage of the load.",
            LONG_SECONDS,
            stage=STAGES,
        )
        self.downloaded_bytes = meters.counter(
            "mistudio_loader_downloaded_bytes_total", "Bytes of weights downloaded from the hub."
        )
        self.ingestions = meters.counter(
            "mistudio_loader_ingestions_total",
            "Attempts to read a dataset, by what became of them.",
            outcome=("ingested", "failed", "cancelled"),
        )
        self.ingest_seconds = meters.histogram(
            "mistudio_loader_ingest_seconds",
            "Seconds to read a dataset, of the attempts that did.",
            LONG_SECONDS,
        )
