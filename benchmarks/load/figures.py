"""Seconds as percentiles, bytes as megabytes: how the parts of the benchmark tell their figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

MB = 1024 * 1024


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of ``values`` lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return count, p50 and p99."""
    return {
        "count": len(seconds),
        "p50_ms": round(1000 * statistics.median(seconds), 2),
        "p99_ms": round(1000 * percentile(seconds, 0.99), 2),
    }


def megabytes(size: float) -> float:
    return round(size / MB, 2)
