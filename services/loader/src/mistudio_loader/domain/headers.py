"""The safetensors header: eight bytes of length, JSON, then the tensors' bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from mistudio_contracts import Dtype
from mistudio_contracts.errors import InvalidInput

MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library itself."""

ITEM_BITS: dict[str, int] = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
}
"""Bits of one element of each dtype that may stand in a checkpoint."""

FLOATS: dict[str, Dtype | None] = {
    "F64": None,
    "F32": Dtype.FLOAT32,
    "F16": Dtype.FLOAT16,
    "BF16": Dtype.BFLOAT16,
}
"""Floating-point dtypes that can be cast, and the contract's name of those that can be kept."""

NAME_OF: dict[Dtype, str] = {
    Dtype.FLOAT32: "F32",
    Dtype.FLOAT16: "F16",
    Dtype.BFLOAT16: "BF16",
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file; ``start`` and ``end`` count bytes from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Header:
    """A checked header. ``tensors`` are in the order of their bytes and leave no gap."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, str]
    data_offset: int

    @property
    def data_bytes(self) -> int:
        return self.tensors[-1].end if self.tensors else 0


def corrupt(file: str, why: str) -> InvalidInput:
    """Return the error of a weight file that does not hold what it says."""
    return InvalidInput(
        f"The weight file {file} is damaged: {why}.",
        field="model_identifier",
        reason="corrupt_weights",
        file=file,
        remedy="Copy or download the file again.",
    )


def read_header(stream: BinaryIO, file: str, file_bytes: int) -> Header:
    """Read and check the header at the start of ``stream``, and nothing after it.

    Parameters
    ----------
    stream
        Positioned at the start of the file.
    file
        The file's name, for messages.
    file_bytes
        Size of the whole file.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``.
    """
    length = header_length(stream.read(8), file, file_bytes)
    return parse_header(stream.read(length), file, file_bytes)


def header_length(first: bytes, file: str, file_bytes: int) -> int:
    """Return the length that the first eight bytes announce, once it is credible.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``.
    """
    if len(first) < 8:
        raise corrupt(file, "it is shorter than its header")
    length = int.from_bytes(first, "little")
    if length > MAX_HEADER_BYTES or length > file_bytes - 8:
        raise corrupt(file, "its header is longer than the file or than the format allows")
    return length


def parse_header(raw: bytes, file: str, file_bytes: int) -> Header:
    """Check the header's JSON against the size of the file.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``.
    """
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        raise corrupt(file, "its header is not JSON") from None
    if not isinstance(parsed, dict):
        raise corrupt(file, "its header is not a JSON object")
    metadata = parsed.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise corrupt(file, "its metadata is not a map of strings")
    tensors = sorted(
        (_tensor(name, entry, file) for name, entry in parsed.items()),
        key=lambda t: (t.start, t.end, t.name),
    )
    position = 0
    for tensor in tensors:
        if tensor.start != position:
            raise corrupt(file, f"the bytes of {tensor.name} overlap others or leave a gap")
        position = tensor.end
    offset = 8 + len(raw)
    if offset + position != file_bytes:
        raise corrupt(file, f"it should have {offset + position} bytes and has {file_bytes}")
    return Header(tuple(tensors), metadata, offset)


def _tensor(name: str, entry: Any, file: str) -> Tensor:
    if not isinstance(entry, dict):
        raise corrupt(file, f"the entry of {name} is not an object")
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in ITEM_BITS:
        raise corrupt(file, f"the dtype of {name} is unknown")
    shape, offsets = _whole_numbers(entry.get("shape")), _whole_numbers(entry.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2:
        raise corrupt(file, f"the shape or the offsets of {name} are not whole numbers")
    tensor = Tensor(name, dtype, tuple(shape), offsets[0], offsets[1])
    if tensor.end - tensor.start != tensor.elements * ITEM_BITS[dtype] // 8:
        raise corrupt(file, f"the size of {name} does not fit its shape and dtype")
    return tensor


def _whole_numbers(value: Any) -> list[int] | None:
    right = isinstance(value, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63 for n in value
    )
    return value if right else None


def render_header(tensors: Iterable[Tensor], metadata: dict[str, str]) -> bytes:
    """Return length and header for ``tensors``, padded with spaces to a multiple of eight."""
    body: dict[str, Any] = {}
    if metadata:
        body["__metadata__"] = metadata
    for t in tensors:
        body[t.name] = {
            "dtype": t.dtype,
            "shape": list(t.shape),
            "data_offsets": [t.start, t.end],
        }
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw


def cast_layout(header: Header, dtype: Dtype) -> tuple[Tensor, ...]:
    """Return the tensors as they lie once every floating-point one is of ``dtype``."""
    target = NAME_OF[dtype]
    position = 0
    found: list[Tensor] = []
    for t in header.tensors:
        name = target if t.dtype in FLOATS else t.dtype
        size = t.elements * ITEM_BITS[name] // 8
        found.append(Tensor(t.name, name, t.shape, position, position + size))
        position += size
    return tuple(found)


def majority_dtype(headers: Iterable[Header]) -> Dtype | None:
    """Return the dtype of most of the weights, counted by element; None for float64.

    Raises
    ------
    InvalidInput
        ``reason`` is ``unsupported_dtype`` when most weights are 8-bit floats or integers, and
        ``no_weights`` when there is none.
    """
    elements: Counter[str] = Counter()
    for header in headers:
        for tensor in header.tensors:
            elements[tensor.dtype] += tensor.elements
    if not elements:
        raise InvalidInput(
            "The weight files hold no tensor.",
            field="model_identifier",
            reason="no_weights",
            remedy="Save the checkpoint again with save_pretrained.",
        )
    most = max(sorted(elements), key=lambda name: elements[name])
    if most not in FLOATS:
        raise InvalidInput(
            f"Most of the weights are {most}.",
            field="model_identifier",
            reason="unsupported_dtype",
            remedy="Use a checkpoint in float32, float16 or bfloat16.",
        )
    return FLOATS[most]


def count_parameters(headers: Iterable[Header]) -> int:
    """Return the number of floating-point elements; masks and position buffers do not count."""
    return sum(t.elements for h in headers for t in h.tensors if t.dtype in FLOATS)
