"""Weight files quantised piece by piece: memory of one piece, however large the model is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mistudio_contracts import Dtype, Quantization
from mistudio_contracts.values import QuantizationOptions
from mistudio_loader.domain.headers import FLOATS, ITEM_BITS, NAME_OF, Header, Tensor, render_header

from .casting import PIECE_BYTES, Written, converter, read_exactly

if TYPE_CHECKING:
    import torch

    from mistudio_capture.quantize import Recipe

_HASH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Matrices:
    """The weights to quantise: stored name → whether it is stored transposed, as GPT-2's are."""

    transposed: Mapping[str, bool]
    recipe: Recipe
    dtype: Dtype


@dataclass(frozen=True)
class _Placed:
    source: Tensor
    targets: Mapping[str, Tensor]
    """By suffix; the one tensor of a weight that is not quantised has none."""


def find_matrices(
    config: Mapping[str, Any],
    names: set[str],
    quantization: Quantization,
    options: QuantizationOptions,
    dtype: Dtype,
) -> Matrices:
    """Return which of a checkpoint's tensors are the linear layers of its blocks.

    Parameters
    ----------
    config
        Of ``config.json``.
    names
        Of all stored tensors.
    dtype
        Of what is not quantised.
    """
    import torch
    from transformers import CONFIG_MAPPING
    from transformers.pytorch_utils import Conv1D

    from mistudio_capture.quantize import Recipe
    from mistudio_capture.skeleton import build, linear_layers
    from mistudio_capture.structure import find_blocks

    parsed = CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    decoder = build(parsed, torch.float32)
    prefix = f"{decoder.base_model_prefix}."
    found: dict[str, bool] = {}
    for layer, module in linear_layers(decoder, find_blocks(decoder, parsed.num_hidden_layers)):
        for name in (f"{layer}.weight", f"{prefix}{layer}.weight"):
            if name in names:
                found[name] = isinstance(module, Conv1D)
    bits = 8 if quantization is Quantization.INT8 else 4
    return Matrices(found, Recipe(bits, options.int4_type.value, options.double_quant), dtype)


def quantize_file(
    source: Path,
    header: Header,
    target: Path,
    matrices: Matrices,
    tell_done: Callable[[int], None],
) -> Written:
    """Write a weight file anew with the matrices quantised and all else of one dtype.

    The bytes written depend on the source's bytes and the recipe alone.

    Parameters
    ----------
    tell_done
        Called with the source bytes that are done.

    Raises
    ------
    InvalidInput
        ``reason`` is ``overflow`` when a finite weight is too large for the dtype.
    ModelLoadFailed
        Transient, ``reason`` ``source_changed``, when the file ends early.
    """
    layout = _layout(header, matrices)
    ordered = sorted((t for placed in layout for t in _targets(placed)), key=lambda t: t.start)
    head = render_header(ordered, {"format": "pt"})
    with source.open("rb") as stream, target.open("wb") as out:
        reader = _Reader(stream, tell_done)
        reader.read(header.data_offset)
        out.write(head)
        for placed in layout:
            if placed.source.name in matrices.transposed:
                _quantize(reader, out, len(head), placed, matrices)
            else:
                _cast(reader, out, len(head), placed, matrices.dtype)
        out.flush()
        os.fsync(out.fileno())
    return Written(reader.hexdigest(), _digest(target), target.stat().st_size)


class _Reader:
    """The source, read once from end to end."""

    def __init__(self, stream: BinaryIO, tell_done: Callable[[int], None]) -> None:
        self._stream, self._tell = stream, tell_done
        self._digest, self._done = hashlib.sha256(), 0

    def read(self, count: int) -> bytearray:
        piece = read_exactly(self._stream, count)
        self._digest.update(piece)
        self._done += count
        self._tell(self._done)
        return piece

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _layout(header: Header, matrices: Matrices) -> list[_Placed]:
    """Return where everything goes: the widest elements first, so that none is out of line."""
    from mistudio_capture.quantize import parts

    made: list[tuple[Tensor, str, str, tuple[int, ...]]] = []
    for tensor in header.tensors:
        if tensor.name not in matrices.transposed:
            kind = NAME_OF[matrices.dtype] if tensor.dtype in FLOATS else tensor.dtype
            made.append((tensor, "", kind, tensor.shape))
            continue
        for part in parts(matrices.recipe, _shape(tensor, matrices)):
            made.append((tensor, part.suffix, _name_of(part.dtype), part.shape))
    found: dict[str, dict[str, Tensor]] = {tensor.name: {} for tensor in header.tensors}
    position = 0
    for tensor, suffix, kind, shape in sorted(made, key=lambda m: -ITEM_BITS[m[2]]):
        name = tensor.name.removesuffix(".weight") + suffix if suffix else tensor.name
        placed = Tensor(name, kind, shape, position, position)
        position += placed.elements * ITEM_BITS[kind] // 8
        found[tensor.name][suffix] = Tensor(name, kind, shape, placed.start, position)
    return [_Placed(tensor, found[tensor.name]) for tensor in header.tensors]


def _targets(placed: _Placed) -> list[Tensor]:
    return list(placed.targets.values())


def _shape(tensor: Tensor, matrices: Matrices) -> tuple[int, int]:
    rows, columns = tensor.shape
    return (columns, rows) if matrices.transposed[tensor.name] else (rows, columns)


def _name_of(dtype: torch.dtype) -> str:
    import torch

    return {torch.int8: "I8", torch.uint8: "U8", torch.float32: "F32"}[dtype]


def _cast(reader: _Reader, out: BinaryIO, offset: int, placed: _Placed, dtype: Dtype) -> None:
    source, target = placed.source, placed.targets[""]
    convert = None if source.dtype == target.dtype else converter(source, dtype)
    out.seek(offset + target.start)
    left = source.end - source.start
    while left:
        piece = reader.read(min(PIECE_BYTES, left))
        out.write(piece if convert is None else convert(piece))
        left -= len(piece)


def _quantize(
    reader: _Reader, out: BinaryIO, offset: int, placed: _Placed, matrices: Matrices
) -> None:
    import torch

    from mistudio_capture.quantize import quantize

    pieces = _pieces(reader, placed.source, transposed=matrices.transposed[placed.source.name])
    shape, dtype = _shape(placed.source, matrices), getattr(torch, matrices.dtype.value)
    for suffix, start, values in quantize(matrices.recipe, pieces, shape, dtype):
        target = placed.targets[suffix]
        out.seek(offset + target.start + start * ITEM_BITS[target.dtype] // 8)
        out.write(values.contiguous().view(torch.uint8).numpy().data)


def _pieces(reader: _Reader, source: Tensor, *, transposed: bool) -> Iterator[torch.Tensor]:
    """Yield a matrix ``[out_features, in_features]`` in pieces of whole rows."""
    import torch

    from mistudio_capture.quantize import rows_at_once

    kinds = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16}
    kind, width = kinds.get(source.dtype, torch.bfloat16), ITEM_BITS[source.dtype] // 8
    rows, columns = source.shape
    if transposed:
        # Its rows are our columns: it is needed whole.
        whole = torch.frombuffer(reader.read(source.end - source.start), dtype=kind)
        matrix = whole.view(rows, columns).T
        yield from (_usable(piece.contiguous()) for piece in matrix.split(rows_at_once(rows)))
        return
    step = rows_at_once(columns)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        piece = torch.frombuffer(reader.read(count * columns * width), dtype=kind)
        yield _usable(piece.view(count, columns))


def _usable(piece: torch.Tensor) -> torch.Tensor:
    import torch

    return piece.float() if piece.dtype is torch.float64 else piece


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_HASH_BYTES):
            digest.update(piece)
    return digest.hexdigest()
