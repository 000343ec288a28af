"""The fake catalog's estimates: a model that fits in one way each."""

from __future__ import annotations

from typing import Any

from mistudio_contracts.states import Fit, Quantization
from mistudio_contracts.views import Estimate, FormatEstimate, MemoryParts, OffloadEstimate

GIB = 1 << 30
BUDGET = 4 * GIB


def an_estimate(
    identifier: str, quantization: Quantization | None, model_id: str | None = None
) -> Estimate:
    """Return an estimate of every format, or of one."""
    offload = OffloadEstimate(
        blocks=3,
        total_bytes=BUDGET,
        read_bytes_per_batch=GIB,
        cost="3 of 8 blocks are read from the disk at each batch.",
    )
    found = [
        _format(Quantization.NONE, 8, fit=Fit.NEVER, batch_size=0, offload=offload),
        _format(Quantization.FP16, 4, fit=Fit.AFTER_EVICTION, evict=["m_idle"], held_by=["m_busy"]),
        _format(Quantization.BF16, 4, fit=Fit.AFTER_EVICTION),
        _format(Quantization.INT8, 2, fit=Fit.NOW),
        _format(Quantization.INT4, 1, fit=Fit.NOW, unavailable="No kernel runs here."),
    ]
    return Estimate(
        model_id=model_id,
        model_identifier=identifier,
        device_id="dev_one",
        budget_bytes=BUDGET,
        used_bytes=GIB,
        formats=[each for each in found if quantization in (None, each.quantization)],
        recommended=Quantization.INT8,
        message="Choose int8.",
    )


def _format(quantization: Quantization, size: int, **more: Any) -> FormatEstimate:
    parts = {"activations", "captured", "workspace", "slack", "quantization_state"}
    fields: dict[str, Any] = {
        "quantization": quantization,
        "total_bytes": size * GIB,
        "parts": MemoryParts(
            weights_bytes=size * GIB, **{f"{part}_bytes": 0 for part in sorted(parts)}
        ),
        "batch_size": 4,
        "sequence_length": 2048,
        "disk_bytes": size * GIB,
        **more,
    }
    return FormatEstimate(**fields)
