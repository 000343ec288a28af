"""What Prometheus sees of an extractor's work."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class Metrics:
    """Counters without labels: a process is one device.

    Parameters
    ----------
    registry
        Where they are shown; one of their own by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = CollectorRegistry() if registry is None else registry
        self.passes = Counter(
            "mistudio_extractor_passes",
            "Forward passes that reached a decoder block.",
            registry=registry,
        )
        self.block_tokens = Counter(
            "mistudio_extractor_block_tokens",
            "Tokens that went through a decoder block, once for each block; padding counts.",
            registry=registry,
        )
        self.tokens = Counter(
            "mistudio_extractor_captured_tokens",
            "Tokens of shards that were captured.",
            registry=registry,
        )
        self.bytes = Counter(
            "mistudio_extractor_written_bytes",
            "Bytes of shard files of activations that were written.",
            registry=registry,
        )
