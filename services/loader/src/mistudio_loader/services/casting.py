"""Weight files copied or cast in pieces: a few megabytes of memory, however large a tensor is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mistudio_contracts import Dtype
from mistudio_contracts.errors import InvalidInput, ModelLoadFailed
from mistudio_loader.domain.headers import (
    FLOATS,
    ITEM_BITS,
    NAME_OF,
    Header,
    Tensor,
    cast_layout,
    render_header,
)

PIECE_BYTES = 8 * 1024 * 1024
"""Source bytes that are in memory at once; a multiple of every element's size."""


@dataclass(frozen=True)
class Written:
    """A file that was written: digests of what was read and of what was written."""

    source_sha256: str
    sha256: str
    bytes: int


class _Sink:
    """A file under construction and its digest."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, data: Any) -> None:
        self._stream.write(data)
        self._digest.update(data)
        self.bytes += memoryview(data).nbytes

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def copy_file(source: Path, target: Path, tell_done: Callable[[int], None]) -> Written:
    """Copy a weight file byte for byte.

    Parameters
    ----------
    tell_done
        Called with the source bytes that are done.
    """
    with source.open("rb") as stream, target.open("wb") as out:
        sink = _Sink(out)
        while piece := stream.read(PIECE_BYTES):
            sink.write(piece)
            tell_done(sink.bytes)
        out.flush()
        os.fsync(out.fileno())
    return Written(sink.hexdigest(), sink.hexdigest(), sink.bytes)


def cast_file(
    source: Path, header: Header, target: Path, dtype: Dtype, tell_done: Callable[[int], None]
) -> Written:
    """Write a weight file anew with every floating-point tensor cast to ``dtype``.

    Names, shapes, metadata and the order of the tensors are kept; integer and boolean tensors
    are copied. The bytes written depend on the source's bytes and ``dtype`` alone.

    Raises
    ------
    InvalidInput
        ``reason`` is ``overflow`` when a finite weight is too large for ``dtype``.
    ModelLoadFailed
        Transient, ``reason`` ``source_changed``, when the file ends early.
    """
    layout = cast_layout(header, dtype)
    digest = hashlib.sha256()
    with source.open("rb") as stream, target.open("wb") as out:
        sink = _Sink(out)
        digest.update(read_exactly(stream, header.data_offset))
        sink.write(render_header(layout, header.metadata))
        done = header.data_offset
        for tensor, cast in zip(header.tensors, layout, strict=True):
            convert = None if tensor.dtype == cast.dtype else converter(tensor, dtype)
            left = tensor.end - tensor.start
            while left:
                piece = read_exactly(stream, min(PIECE_BYTES, left))
                digest.update(piece)
                sink.write(piece if convert is None else convert(piece))
                left -= len(piece)
                done += len(piece)
                tell_done(done)
        out.flush()
        os.fsync(out.fileno())
    return Written(digest.hexdigest(), sink.hexdigest(), sink.bytes)


def read_exactly(stream: BinaryIO, count: int) -> bytearray:
    """Return the next ``count`` bytes.

    Raises
    ------
    ModelLoadFailed
        Transient, ``reason`` ``source_changed``, when the file ends early.
    """
    buffer = bytearray(count)
    if stream.readinto(buffer) != count:  # type: ignore[attr-defined]
        raise ModelLoadFailed(
            "A weight file changed while it was read.",
            transient=True,
            reason="source_changed",
            remedy="Load the model again once the files are complete.",
        )
    return buffer


def converter(tensor: Tensor, dtype: Dtype) -> Callable[[bytearray], Any]:
    """Return what turns a piece of a floating-point tensor into the bytes of ``dtype``.

    It raises InvalidInput, ``reason`` ``overflow``, for a finite weight that is too large.
    """
    import torch

    kinds = {"F64": torch.float64, "F32": torch.float32}
    kinds |= {"F16": torch.float16, "BF16": torch.bfloat16}
    source, target = kinds[tensor.dtype], kinds[NAME_OF[dtype]]
    item_bytes = ITEM_BITS[tensor.dtype] // 8

    def convert(piece: bytearray) -> Any:
        values = torch.frombuffer(piece, dtype=source, count=len(piece) // item_bytes)
        cast = values.to(target)
        if not bool(torch.isfinite(cast).all()) and bool(
            (~torch.isfinite(cast) & torch.isfinite(values)).any()
        ):
            raise InvalidInput(
                f"{tensor.name} holds values too large for {dtype}.",
                field="quantization",
                reason="overflow",
                tensor=tensor.name,
                remedy="Use bf16, or none to keep the weights as they are.",
            )
        return cast.view(torch.uint8).numpy()

    return convert


def needs_cast(header: Header, dtype: Dtype) -> bool:
    """Return whether a file holds a floating-point tensor of another dtype."""
    return any(t.dtype in FLOATS and t.dtype != NAME_OF[dtype] for t in header.tensors)
