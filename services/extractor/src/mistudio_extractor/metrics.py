"""What Prometheus sees of an extractor: its device, its models, its work."""

from __future__ import annotations

from mistudio_servicekit.metering import LONG_SECONDS, Meters

MEMORY = ("total", "budget", "free", "models", "process")
"""Kinds of the device's bytes; of what ``process`` holds, ``models`` are the weights."""

PHASES = ("plan", "place", "capture", "commit")


class Metrics:
    """An extractor's own metrics. None says which device: a process is one.

    Parameters
    ----------
    meters
        Where they are declared; in a registry of their own by default.
    """

    def __init__(self, meters: Meters | None = None) -> None:
        meters = meters or Meters()
        self.passes = meters.counter(
            "mistudio_extractor_passes_total", "Forward passes that reached a decoder block."
        )
        self.block_tokens = meters.counter(
            "mistudio_extractor_block_tokens_total",
            "Tokens that went through a decoder block, once for each block; padding counts.",
        )
        self.tokens = meters.counter(
            "mistudio_extractor_captured_tokens_total", "Tokens of shards that were captured."
        )
        self.samples = meters.counter(
            "mistudio_extractor_captured_samples_total", "Samples of shards that were captured."
        )
        self.bytes = meters.counter(
            "mistudio_extractor_written_bytes_total",
            "Bytes of shard files of activations that were written.",
        )
        self.phase_seconds = meters.histogram(
            "mistudio_extractor_phase_seconds",
            "Seconds of work orders: to plan a part, to wait for the model (place), to capture and "
            "write a shard, to commit.",
            LONG_SECONDS,
            phase=PHASES,
        )
        self.out_of_memory = meters.counter(
            "mistudio_extractor_out_of_memory_total",
            "Shards and loads that found too little memory, so were tried again with more.",
        )
        self._models(meters)

    def _models(self, meters: Meters) -> None:
        self.placements = meters.counter(
            "mistudio_extractor_placements_total",
            "Models that were to be brought into device memory, by what became of it.",
            outcome=("placed", "failed"),
        )
        self.place_seconds = meters.histogram(
            "mistudio_extractor_place_seconds",
            "Seconds to bring a model into device memory.",
            LONG_SECONDS,
        )
        reasons = ("requested", "lru", "keep_alive")
        self.evictions = meters.counter(
            "mistudio_extractor_evictions_total",
            "Models that left device memory, by why.",
            reason=reasons,
        )
        self.evicted_bytes = meters.counter(
            "mistudio_extractor_evicted_bytes_total",
            "Bytes that leaving models gave back, by why they left.",
            reason=reasons,
        )
        self.residents = meters.gauge(
            "mistudio_extractor_resident_models",
            "Models in device memory: idle, or with work in progress.",
            state=("idle", "in_use"),
        )
        self.in_need = meters.gauge(
            "mistudio_extractor_waiting_for_room",
            "Requests for a model that wait until there is room for it.",
        )
        self.memory = meters.gauge(
            "mistudio_extractor_device_memory_bytes",
            "The device's memory: all of it, what models may take, what is free whoever uses the "
            "rest, what resident models take, and what this process holds.",
            kind=MEMORY,
        )
