"""Reading tensors of safetensors files into memory of their own: no map of the file stays behind.

A mapped file would count towards the process only page by page, would be read again under memory
pressure, and would end the process if the file were cut short.

Format: https://huggingface.co/docs/safetensors, eight bytes of header length, JSON, then the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from .errors import CaptureError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: ``offset`` and ``bytes`` within the whole file."""

    name: str
    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    bytes: int

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name alone."""
        return (self.name,)

    def read(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """Return the tensor, read from the file.

        Raises
        ------
        CaptureError
            When the file ends before the tensor does.
        """
        buffer = torch.empty(self.bytes, dtype=torch.uint8)
        if self.bytes:
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(self.offset)
                view, done = buffer.numpy().data, 0
                while done < self.bytes:
                    count = stream.readinto(view[done:])
                    if not count:
                        raise CaptureError(f"{self.path.name} ends within {self.name}")
                    done += count
        return buffer.view(self.dtype).view(self.shape).to(device)


class TensorFiles(Mapping[str, StoredTensor]):
    """The tensors of a directory's safetensors files, by name.

    Parameters
    ----------
    directory
        Where the files lie.
    names
        Which of them; None takes all.

    Raises
    ------
    CaptureError
        When there is no such file, or a header cannot be read.
    """

    def __init__(self, directory: Path, names: Iterable[str] | None = None) -> None:
        chosen = None if names is None else [directory / name for name in names]
        paths = sorted(directory.glob("*.safetensors") if chosen is None else chosen)
        if not paths:
            raise CaptureError("there are no safetensors files")
        self._tensors = {t.name: t for path in paths for t in _tensors(path)}

    def __getitem__(self, name: str) -> StoredTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _tensors(path: Path) -> list[StoredTensor]:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise ValueError("the header is too long")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        return [
            StoredTensor(
                name,
                path,
                DTYPES[entry["dtype"]],
                tuple(entry["shape"]),
                8 + length + entry["data_offsets"][0],
                entry["data_offsets"][1] - entry["data_offsets"][0],
            )
            for name, entry in header.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaptureError(f"the header of {path.name} cannot be read") from error
