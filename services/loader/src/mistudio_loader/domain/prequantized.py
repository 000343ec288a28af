"""Checkpoints that somebody has already quantised: which can be kept as they are, and which not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from mistudio_contracts import Quantization
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import Int4Type
from mistudio_contracts.values import QuantizationOptions

from .headers import FLOATS, Header, corrupt
from .recipes import check_family

BITSANDBYTES = "bitsandbytes"

_SPELLED = {
    "gptq": "GPTQ",
    "awq": "AWQ",
    "fp8": "FP8",
    "fbgemm_fp8": "FP8",
    "compressed-tensors": "compressed-tensors",
    "aqlm": "AQLM",
    "hqq": "HQQ",
    "mxfp4": "MXFP4",
}
_INT8_STATE = (".SCB", ".weight_format")
_INT4_STATE = (
    ".absmax",
    ".quant_map",
    ".nested_absmax",
    ".nested_quant_map",
    ".quant_state.bitsandbytes__nf4",
    ".quant_state.bitsandbytes__fp4",
)


class Stored:
    """A format in which a checkpoint's weights lie already.

    Attributes
    ----------
    quantization, options
        What bitsandbytes made of them.
    """

    def __init__(self, quantization: Quantization, options: QuantizationOptions) -> None:
        self.quantization, self.options = quantization, options

    def check_wanted(self, wanted: Quantization) -> None:
        """Refuse any format but the stored one; ``none`` means the stored one.

        Raises
        ------
        InvalidInput
            ``reason`` is ``already_quantized``.
        """
        if wanted not in (Quantization.NONE, self.quantization):
            raise _refused(
                f"The checkpoint is already quantised to {self.quantization}; {wanted} cannot be "
                "made of it.",
                f"Load it as none or {self.quantization}, or use the original checkpoint.",
                "quantization",
            )


def stored_format(config: Mapping[str, Any]) -> Stored | None:
    """Return the format that ``quantization_config`` names; None where there is none.

    Raises
    ------
    InvalidInput
        ``reason`` is ``already_quantized`` for a method other than bitsandbytes, by its name,
        and for bitsandbytes' codes in another dtype than uint8; ``fused_experts``.
    """
    body = config.get("quantization_config")
    if not body:
        return None
    if not isinstance(body, dict):
        raise _unreadable("a form of its own")
    method = str(body.get("quant_method") or "")
    eight = bool(body.get("load_in_8bit") or body.get("_load_in_8bit"))
    four = bool(body.get("load_in_4bit") or body.get("_load_in_4bit"))
    if (method not in ("", BITSANDBYTES)) or eight == four:
        raise _unreadable(_SPELLED.get(method.lower(), method or "an unnamed method"))
    storage = str(body.get("bnb_4bit_quant_storage") or "uint8").removeprefix("torch.")
    if four and storage != "uint8":
        raise _unreadable(f"bitsandbytes with its codes stored as {storage}")
    quantization = Quantization.INT8 if eight else Quantization.INT4
    check_family(str(config.get("model_type")), quantization)
    if eight:
        return Stored(quantization, QuantizationOptions())
    kind = str(body.get("bnb_4bit_quant_type") or "fp4")
    if kind not in tuple(Int4Type):
        raise _unreadable(f"bitsandbytes' {kind}")
    double = bool(body.get("bnb_4bit_use_double_quant"))
    return Stored(quantization, QuantizationOptions(int4_type=Int4Type(kind), double_quant=double))


def state_names(names: Collection[str]) -> frozenset[str]:
    """Return the tensors that hold scales, code books and descriptions of quantised weights."""
    return frozenset(n for n in names if n.endswith((*_INT8_STATE, *_INT4_STATE)))


def unquantized(headers: Mapping[str, Header]) -> dict[str, Header]:
    """Return the headers without the tensors of quantised weights."""
    state = state_names([t.name for h in headers.values() for t in h.tensors])

    def kept(header: Header) -> Header:
        tensors = (t for t in header.tensors if t.name not in state and t.dtype in FLOATS)
        return replace(header, tensors=tuple(tensors))

    return {name: kept(header) for name, header in headers.items()}


def original_parameters(headers: Mapping[str, Header]) -> int:
    """Return how many parameters there were before: two to a byte of int4 codes.

    A matrix of an odd number of elements counts one too many.
    """
    tensors = [t for header in headers.values() for t in header.tensors]
    state = state_names([t.name for t in tensors])
    per_element = {"U8": 2, "I8": 1, **dict.fromkeys(FLOATS, 1)}
    return sum(t.elements * per_element.get(t.dtype, 0) for t in tensors if t.name not in state)


def check_state(stored: Stored, headers: Mapping[str, Header]) -> None:
    """Check that every quantised weight has its scales, and every scale its weight.

    Raises
    ------
    InvalidInput
        ``reason`` is ``missing_tensors`` or, when no weight at all is quantised,
        ``corrupt_weights``.
    """
    tensors = {t.name: t for header in headers.values() for t in header.tensors}
    state = state_names(tensors)
    codes = "I8" if stored.quantization is Quantization.INT8 else "U8"
    quantized = {n for n, t in tensors.items() if t.dtype == codes and n not in state}
    quantized |= {_weight_of(name) for name in state}
    if not quantized:
        raise corrupt(min(headers), "no weight is quantised as its config says")
    needed = {name for weight in quantized for name in (weight, *_state_of(weight, stored))}
    missing = sorted(needed - tensors.keys())
    if missing:
        raise InvalidInput(
            f"The quantised checkpoint lacks {', '.join(missing[:10])}.",
            field="model_identifier",
            reason="missing_tensors",
            missing=missing[:10],
            missing_count=len(missing),
            remedy="Copy or download the checkpoint again.",
        )


def _weight_of(name: str) -> str:
    for suffix in _INT8_STATE:
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix)}.weight"
    return next(name.removesuffix(suffix) for suffix in _INT4_STATE if name.endswith(suffix))


def _state_of(weight: str, stored: Stored) -> list[str]:
    if stored.quantization is Quantization.INT8:
        return [f"{weight.removesuffix('.weight')}.SCB"]
    kind = stored.options.int4_type.value
    suffixes = [".absmax", ".quant_map", f".quant_state.bitsandbytes__{kind}"]
    if stored.options.double_quant:
        suffixes += [".nested_absmax", ".nested_quant_map"]
    return [weight + suffix for suffix in suffixes]


def _unreadable(method: str) -> InvalidInput:
    return _refused(
        f"The checkpoint is already quantised with {method}, which cannot be read.",
        "Use the original checkpoint in float32, float16 or bfloat16, or one of bitsandbytes.",
        "model_identifier",
        method=method,
    )


def _refused(message: str, remedy: str, field: str, **details: Any) -> InvalidInput:
    return InvalidInput(message, field=field, reason="already_quantized", remedy=remedy, **details)
