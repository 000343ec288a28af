"""Quantising a weight piece by piece, to the bytes that transformers with bitsandbytes saves.

A matrix is fed in pieces of whole rows, so memory is that of a piece, however large the matrix.
Its parts come out with where they belong, and are written as they come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from .bnb import functional as bnb

BLOCK = 64
"""Weights that share a scale, as bitsandbytes has it for 4 bits."""

NESTED_BLOCK = 256
"""Scales that share a scale of their own under double quantisation."""

PIECE_ELEMENTS = 1 << 20
"""About so many elements are quantised at a time: bitsandbytes makes six float32 copies of them."""

STATE_BYTES = 320
"""Room for the JSON of a quantisation state, which is padded with spaces."""


@dataclass(frozen=True)
class Recipe:
    """How weights are quantised.

    ``bits`` is 8 or 4; the others are of 4 bits alone: ``int4_type`` is ``nf4`` or ``fp4``, and
    ``double_quant`` quantises the scales too.
    """

    bits: int
    int4_type: str = "nf4"
    double_quant: bool = True


@dataclass(frozen=True)
class Part:
    """A tensor of a quantised weight; ``suffix`` follows the layer's name."""

    suffix: str
    dtype: torch.dtype
    shape: tuple[int, ...]


Written = tuple[str, int, torch.Tensor]
"""A part's suffix, the first element, and contiguous elements from there on."""


def parts(recipe: Recipe, shape: tuple[int, int]) -> tuple[Part, ...]:
    """Return what a quantised weight ``[out_features, in_features]`` consists of."""
    rows, columns = shape
    if recipe.bits == 8:
        return (
            Part(".weight", torch.int8, shape),
            Part(".SCB", torch.float32, (rows,)),
            Part(".weight_format", torch.uint8, ()),
        )
    blocks = -(-rows * columns // BLOCK)
    scales = torch.uint8 if recipe.double_quant else torch.float32
    found = [
        Part(".weight", torch.uint8, (-(-rows * columns // 2), 1)),
        Part(".weight.absmax", scales, (blocks,)),
        Part(".weight.quant_map", torch.float32, (16,)),
    ]
    if recipe.double_quant:
        found += [
            Part(".weight.nested_absmax", torch.float32, (-(-blocks // NESTED_BLOCK),)),
            Part(".weight.nested_quant_map", torch.float32, (256,)),
        ]
    state = f".weight.quant_state.bitsandbytes__{recipe.int4_type}"
    return (*found, Part(state, torch.uint8, (STATE_BYTES,)))


def rows_at_once(columns: int) -> int:
    """Return the rows of a piece: a multiple of :data:`BLOCK`, so that no block is cut in two."""
    return BLOCK * max(1, PIECE_ELEMENTS // (BLOCK * columns))


def quantize(
    recipe: Recipe, pieces: Iterable[torch.Tensor], shape: tuple[int, int], dtype: torch.dtype
) -> Iterator[Written]:
    """Yield the parts of a quantised weight.

    Parameters
    ----------
    recipe
        How.
    pieces
        ``[rows_at_once, in_features]`` each, the last may be shorter; floating point, on the CPU
        or on the device that is to compute.
    shape
        ``(out_features, in_features)``.
    dtype
        Of what is not quantised, noted in the state for others who load it.
    """
    return _int8(pieces) if recipe.bits == 8 else _int4(recipe, pieces, shape, dtype)


def _int8(pieces: Iterable[torch.Tensor]) -> Iterator[Written]:
    row = 0
    for piece in pieces:
        # bitsandbytes quantises from float16 alone.
        codes, scales, _ = bnb.int8_vectorwise_quant(piece.to(torch.float16))
        yield ".weight", row * piece.shape[1], codes.cpu().reshape(-1)
        yield ".SCB", row, scales.float().cpu()
        row += len(piece)
    yield ".weight_format", 0, torch.zeros(1, dtype=torch.uint8)


def _int4(
    recipe: Recipe, pieces: Iterable[torch.Tensor], shape: tuple[int, int], dtype: torch.dtype
) -> Iterator[Written]:
    scales: list[torch.Tensor] = []
    done, code = 0, torch.empty(0)
    for piece in pieces:
        packed, state = bnb.quantize_4bit(
            piece.contiguous(), blocksize=BLOCK, quant_type=recipe.int4_type
        )
        yield ".weight", done // 2, packed.cpu().reshape(-1)
        scales.append(state.absmax)
        code, done = state.code, done + piece.numel()
    state_of = {
        "quant_type": recipe.int4_type,
        "blocksize": BLOCK,
        "dtype": str(dtype).removeprefix("torch."),
        "shape": list(shape),
    }
    absmax = torch.cat(scales)
    if recipe.double_quant:
        offset = absmax.mean()
        absmax, nested = bnb.quantize_blockwise(absmax - offset, blocksize=NESTED_BLOCK)
        yield ".weight.nested_absmax", 0, nested.absmax.cpu()
        yield ".weight.nested_quant_map", 0, nested.code.cpu()
        state_of |= {
            "nested_blocksize": NESTED_BLOCK,
            "nested_dtype": "float32",
            "nested_offset": offset.item(),
        }
    yield ".weight.absmax", 0, absmax.cpu()
    yield ".weight.quant_map", 0, code.cpu()
    # JSON takes trailing spaces; so the file's layout is known before a weight is read.
    raw = json.dumps(state_of).encode().ljust(STATE_BYTES)
    yield (
        f".weight.quant_state.bitsandbytes__{recipe.int4_type}",
        0,
        torch.frombuffer(bytearray(raw), dtype=torch.uint8),
    )
