"""safetensors files written in pieces, and read by mapping.

The format is 8 bytes of little-endian header length, a JSON header, then the tensors' bytes end to
end: https://huggingface.co/docs/safetensors#format. Ours keep the order in which tensors are
declared and pad the header to 64 bytes, so equal tensors give equal files.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from .errors import StoreCorrupt

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
STORE_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": DTYPES["F32"],
    "float16": DTYPES["F16"],
    "bfloat16": DTYPES["BF16"],
    "int8": DTYPES["I8"],
}
"""Dtypes of stored activations, by the name used in manifests; int8 has scales beside it."""

LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class TensorSpec:
    """Where a tensor lies: ``start`` counts bytes from the beginning of the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def plan(
    tensors: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
) -> tuple[bytes, int, dict[str, TensorSpec]]:
    """Return the header's bytes, the file's whole size, and where each tensor goes."""
    header: dict[str, Any] = {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        header[name] = {
            "dtype": CODES[dtype],
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    head = len(text).to_bytes(8, "little") + text
    specs = {
        name: TensorSpec(dtype, shape, len(head) + header[name]["data_offsets"][0])
        for name, (dtype, shape) in tensors.items()
    }
    return head, len(head) + offset, specs


def read_specs(path: Path) -> dict[str, TensorSpec]:
    """Return where each tensor of a file lies.

    Raises
    ------
    StoreCorrupt
        When the file is missing, or its header is not of this format.
    """
    name = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            head = file.read(8)
            head += file.read(header_length(name, head))
            return parse_specs(name, head, os.fstat(file.fileno()).st_size)
    except FileNotFoundError as error:
        raise StoreCorrupt(f"{name} is missing") from error


def header_length(name: str, head: bytes) -> int:
    """Return how long the JSON header is that follows the first 8 bytes of a file.

    Raises
    ------
    StoreCorrupt
        When it is of no length that a header has.
    """
    length = int.from_bytes(head[:8], "little")
    if not 2 <= length <= LONGEST_HEADER:
        raise StoreCorrupt(f"{name} has no header")
    return length


def parse_specs(name: str, head: bytes, size: int) -> dict[str, TensorSpec]:
    """Return where each tensor of a file lies.

    Parameters
    ----------
    name
        Of the file, for messages.
    head
        Its first bytes, the whole header among them.
    size
        Of the file.

    Raises
    ------
    StoreCorrupt
        When the header is not of this format, or the file ends before its tensors do.
    """
    length = header_length(name, head)
    try:
        header = json.loads(head[8 : 8 + length])
        specs = {
            name: TensorSpec(
                DTYPES[entry["dtype"]],
                tuple(int(n) for n in entry["shape"]),
                8 + length + int(entry["data_offsets"][0]),
            )
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreCorrupt(f"{name} is no safetensors file") from error
    if any(spec.start + spec.nbytes > size for spec in specs.values()):
        raise StoreCorrupt(f"{name} is cut short")
    return specs


def map_tensor(path: Path, name: str) -> NDArray[Any]:
    """Return a tensor of a file as a read-only memory map.

    Raises
    ------
    StoreCorrupt
        As :func:`read_specs`, and when the file has no such tensor.
    """
    specs = read_specs(path)
    if name not in specs:
        raise StoreCorrupt(f"{path.parent.name}/{path.name} holds no {name!r}")
    spec = specs[name]
    if spec.nbytes == 0:
        return np.empty(spec.shape, spec.dtype)
    return np.memmap(path, spec.dtype, "r", spec.start, spec.shape)


def unpack(name: str, content: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a small file, which may not be written to.

    Raises
    ------
    StoreCorrupt
        When ``content`` is not of this format; the message has the file's ``name``.
    """
    return {
        tensor: np.frombuffer(
            content, spec.dtype, spec.nbytes // spec.dtype.itemsize, spec.start
        ).reshape(spec.shape)
        for tensor, spec in parse_specs(name, content, len(content)).items()
    }


def fsync_directory(path: Path) -> None:
    """Make renames within a directory survive a loss of power."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file under a temporary name, sync it, and give it its name."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def pack(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a whole file of small tensors."""
    head, _, _ = plan({name: (array.dtype, array.shape) for name, array in tensors.items()})
    return head + b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
