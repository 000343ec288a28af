"""Bytes of a decoder's weights in each format, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .layout import Layout, Matrix
from .shape import DecoderShape

FORMATS = ("none", "fp16", "bf16", "int8", "int4")
"""What a model can be kept as; ``none`` keeps what the checkpoint has."""

QUANTIZED = ("int8", "int4")

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

_CAST = {"fp16": "float16", "bf16": "bfloat16"}

BLOCK = 64
"""Weights of int4 that share a scale: bitsandbytes' block size."""

NESTED_BLOCK = 256
"""Scales that share a scale of their own under double quantisation (QLoRA, 2023, section 3)."""

_CODES, _NESTED_CODES = 16, 256
"""Float32 entries of the code books that each matrix carries."""

_STATE_FILE_BYTES = 320
"""On disk, the JSON that says how a matrix was quantised."""

_HEADER_BYTES = 256
"""On disk, at most so many of a safetensors header are about one tensor."""

_VECTORS_OF_A_BLOCK = 20
"""No block has more tensors that are no matrix."""


@dataclass(frozen=True)
class Format:
    """How weights are kept.

    ``quantization`` is one of :data:`FORMATS`, ``dtype`` that of the checkpoint, and
    ``double_quant`` says whether int4 quantises its scales too; ``nf4`` and ``fp4`` take as much.
    """

    quantization: str
    dtype: str = "float32"
    double_quant: bool = True

    @property
    def kept_dtype(self) -> str:
        """The dtype of what is not quantised, and so of the residual stream."""
        return _CAST.get(self.quantization, self.dtype)

    @property
    def kept_bytes(self) -> int:
        """Bytes of an element of :attr:`kept_dtype`."""
        return DTYPE_BYTES[self.kept_dtype]

    @property
    def quantized(self) -> bool:
        """Whether the matrices of the blocks are quantised."""
        return self.quantization in QUANTIZED


@dataclass(frozen=True)
class WeightBytes:
    """Bytes in device memory: ``weights``, and ``state``, the scales and code books beside them."""

    weights: int
    state: int

    @property
    def total(self) -> int:
        return self.weights + self.state


def checkpoint_dtype(config: Mapping[str, Any], default: str = "float32") -> str:
    """Return the dtype that a config says its checkpoint has, by either of its two names."""
    told = config.get("dtype") or config.get("torch_dtype")
    name = str(told or "").removeprefix("torch.")
    return name if name in DTYPE_BYTES else default


def unavailable(shape: DecoderShape, quantization: str) -> str | None:
    """Return why a family cannot be kept in a format; None where it can."""
    if shape.family.experts and quantization in QUANTIZED:
        return (
            f"The experts of {shape.model_type} lie in fused tensors, which bitsandbytes cannot "
            "quantise."
        )
    return None


def decoder_bytes(layout: Layout, how: Format) -> WeightBytes:
    """Return the bytes of the decoder in device memory: no language-model head."""
    block = block_bytes(layout, how)
    outside = layout.outside * how.kept_bytes + layout.computed_bytes
    return WeightBytes(layout.layers * block.weights + outside, layout.layers * block.state)


def block_bytes(layout: Layout, how: Format) -> WeightBytes:
    """Return the bytes of one block.

    int8 is one byte a weight and a float32 scale a row (LLM.int8(), 2022, section 2). int4 is half
    a byte a weight and a scale for each :data:`BLOCK` weights: a float32, or, quantised too, a
    byte and a float32 for each :data:`NESTED_BLOCK` of them (QLoRA, 2023, section 3).
    """
    parts = [_matrix(matrix, how) for matrix in layout.matrices]
    kept = (layout.vectors + layout.experts) * how.kept_bytes
    return WeightBytes(kept + sum(p.weights for p in parts), sum(p.state for p in parts))


def _matrix(matrix: Matrix, how: Format) -> WeightBytes:
    if how.quantization == "int8":
        return WeightBytes(matrix.elements, 4 * matrix.rows)
    if how.quantization != "int4":
        return WeightBytes(matrix.elements * how.kept_bytes, 0)
    blocks = -(-matrix.elements // BLOCK)
    # A block that crosses rows makes the matrix be shown as whole blocks.
    padded = matrix.columns % BLOCK != 0
    weights = blocks * BLOCK // 2 if padded else -(-matrix.elements // 2)
    if not how.double_quant:
        return WeightBytes(weights, 4 * blocks + 4 * _CODES)
    nested = 4 * -(-blocks // NESTED_BLOCK) + 4 * _NESTED_CODES
    return WeightBytes(weights, blocks + nested + 4 * _CODES + 4)


def disk_bytes(layout: Layout, how: Format) -> int:
    """Return the bytes of the prepared artifact, where the language-model head stays."""
    found = decoder_bytes(layout, how)
    matrices = layout.layers * len(layout.matrices)
    beside = matrices * _STATE_FILE_BYTES if how.quantized else 0
    tensors = (7 if how.quantized else 2) * matrices + layout.layers * _VECTORS_OF_A_BLOCK
    head = layout.head * how.kept_bytes
    return found.total - layout.computed_bytes + head + beside + (tensors + 8) * _HEADER_BYTES


def model_bytes(layout: Layout, how: Format) -> int:
    """Return the bytes of the whole causal language model's weights, its head in its own dtype."""
    return decoder_bytes(layout, how).total - layout.computed_bytes + layout.head * how.kept_bytes
