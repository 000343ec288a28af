"""Pickled weights written anew as safetensors, one tensor in memory at a time.

``weights_only`` lets a pickle name tensors and plain containers and nothing else, so reading one
runs no code of its author's. The file is mapped, not read: memory is that of its largest tensor.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mistudio_contracts.errors import InvalidInput
from mistudio_loader.domain.blueprints import HEADS
from mistudio_loader.domain.headers import ITEM_BITS, Tensor, corrupt, render_header

if TYPE_CHECKING:
    import torch

_KINDS = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def safetensors_name(file: str) -> str:
    """Return what a pickle's name becomes: that of the same part in safetensors."""
    return file.replace("pytorch_model", "model", 1).removesuffix(".bin") + ".safetensors"


def convert_pickle(source: Path, target: Path, tell_done: Callable[[int], None]) -> str:
    """Write a pickle's tensors into a safetensors file and return its SHA-256.

    A head that shares its storage with another tensor is left out, as safetensors has it; other
    tensors that share storage are written each in full.

    Parameters
    ----------
    tell_done
        Called with the bytes of tensors that are written.

    Raises
    ------
    InvalidInput
        ``reason`` is ``pickle_refused`` for what may not or cannot be unpickled without running
        code, and ``corrupt_weights`` for a damaged file.
    """
    tensors = _without_tied_heads(_load(source))
    layout: list[Tensor] = []
    position = 0
    # The widest elements first, so that none is out of line.
    for name, tensor in sorted(tensors.items(), key=lambda item: -_bits(source, *item)):
        kind = _kind(source, name, tensor)
        end = position + tensor.numel() * ITEM_BITS[kind] // 8
        layout.append(Tensor(name, kind, tuple(tensor.shape), position, end))
        position = end
    # A tensor may repeat one element for ever; nothing that was saved is larger than its file.
    if any(t.end - t.start > source.stat().st_size for t in layout):
        raise corrupt(source.name, "a tensor is larger than the file")
    digest, maps = hashlib.sha256(), _maps(source)
    with target.open("wb") as out:
        head = render_header(layout, {"format": "pt"})
        for place, content in [(None, head), *((t, None) for t in layout)]:
            piece: Any = content if place is None else _bytes(tensors[place.name])
            out.write(piece)
            digest.update(piece)
            if place is not None:
                _let_go(tensors[place.name], maps)
                tell_done(place.end)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _load(source: Path) -> Mapping[str, torch.Tensor]:
    import torch

    if not zipfile.is_zipfile(source):
        raise _unzipped(source)
    try:
        with zipfile.ZipFile(source) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise corrupt(source.name, "its tensors are compressed")
        found = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except InvalidInput:
        raise
    except pickle.UnpicklingError as error:
        raise _refused(source.name, "it asks for more than tensors") from error
    # A foreign file may break its reader in any way.
    except Exception as error:
        raise corrupt(source.name, "it cannot be unpickled") from error
    if not isinstance(found, dict) or not found:
        raise corrupt(source.name, "it is no map from names to tensors")
    for name, tensor in found.items():
        plain = isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided
        if not isinstance(name, str) or not plain or tensor.is_quantized:
            raise corrupt(source.name, "it is no map from names to plain tensors")
    return found


def _unzipped(source: Path) -> InvalidInput:
    with source.open("rb") as stream:
        pickled = stream.read(1) == pickle.PROTO
    if pickled:
        return _refused(source.name, "it was saved by PyTorch before 1.6")
    return corrupt(source.name, "it is no file of PyTorch's, or is cut short")


def _refused(file: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The pickled weight file {file} is not opened: {why}, and reading it could run code.",
        field="model_identifier",
        reason="pickle_refused",
        file=file,
        remedy="If you trust it, load it where you made it and save it as safetensors.",
    )


def _without_tied_heads(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    def place(tensor: torch.Tensor) -> tuple[Any, ...]:
        return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()

    others = {place(t) for name, t in tensors.items() if name not in HEADS and t.numel()}
    return {n: t for n, t in tensors.items() if n not in HEADS or place(t) not in others}


def _kind(source: Path, name: str, tensor: torch.Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in _KINDS:
        raise corrupt(source.name, f"{name} is {dtype}, which no checkpoint of weights is")
    return _KINDS[dtype]


def _bits(source: Path, name: str, tensor: torch.Tensor) -> int:
    return ITEM_BITS[_kind(source, name, tensor)]


def _maps(source: Path) -> list[range]:
    """Return the addresses at which a file is mapped, where the system tells them."""
    if sys.platform != "linux":
        return []
    lines = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines())
    where = (line[0].split("-") for line in lines if line[5:] == [str(source.resolve())])
    return [range(int(first, 16), int(last, 16)) for first, last in where]


def _let_go(tensor: torch.Tensor, maps: list[range]) -> None:
    """Let the system drop a mapped tensor's pages; they were only read, and could be again."""
    storage = tensor.untyped_storage()
    first, last = storage.data_ptr(), storage.data_ptr() + storage.nbytes() - 1
    # Memory of any other kind would lose its content.
    if any(first in mapped and last in mapped for mapped in maps):
        first &= -mmap.PAGESIZE
        length = ctypes.c_size_t(last + 1 - first)
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), length, mmap.MADV_DONTNEED)


def _bytes(tensor: torch.Tensor) -> Any:
    import torch

    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data
