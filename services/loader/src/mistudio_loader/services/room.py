"""How much disk a preparation takes."""

from __future__ import annotations

from mistudio_contracts import Dtype, Quantization
from mistudio_loader.domain.checkpoint import WeightFormat
from mistudio_loader.domain.headers import cast_layout

from .inspection import Inspection

_HALF_BYTES = 2


def needed_bytes(inspection: Inspection, quantization: Quantization, *, linked: bool) -> int:
    """Return the bytes that making an artifact writes at most.

    Parameters
    ----------
    linked
        Whether weights that stay as they are need no copy.
    """
    whole = inspection.facts.weight_bytes or 0
    kept = quantization is Quantization.NONE or inspection.stored is not None
    if inspection.selection.format is WeightFormat.PICKLE:
        return whole if kept else 2 * whole
    if inspection.selection.format is WeightFormat.GGUF:
        dequantized = max(whole, _HALF_BYTES * (inspection.facts.parameter_count or 0))
        return dequantized if kept else 2 * dequantized
    if kept:
        return 0 if linked else whole
    dtype = {Quantization.FP16: Dtype.FLOAT16, Quantization.BF16: Dtype.BFLOAT16}.get(
        quantization, inspection.facts.dtype or Dtype.FLOAT32
    )
    layouts = (cast_layout(header, dtype) for header in inspection.headers.values())
    # Quantised weights are smaller than cast ones: room for those is room enough.
    return sum(layout[-1].end for layout in layouts if layout)
