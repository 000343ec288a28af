"""GGUF as a checkpoint of transformers: its tensors dequantised and written one at a time."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mistudio_contracts import Dtype
from mistudio_contracts.errors import InvalidInput
from mistudio_loader.domain.checkpoint import CONFIG, SINGLE, TOKENIZER_FILES
from mistudio_loader.domain.headers import ITEM_BITS, NAME_OF, Tensor, corrupt, render_header
from mistudio_loader.storage.digests import canonical_json

if TYPE_CHECKING:
    import numpy as np
    import torch

_PIECE_ELEMENTS = 4 * 1024 * 1024
_PERMUTED = (".attn_q.", ".attn_k.")
"""llama.cpp reorders the rows of these for its rotary embedding, so they are needed whole."""


@dataclass(frozen=True)
class Dequantized:
    """The SHA-256 of ``model.safetensors``, and the small files that GGUF holds inside."""

    sha256: str
    small: dict[str, bytes]


def dequantize_gguf(
    source: Path,
    scratch: Path,
    dtype: Dtype,
    with_tokenizer: bool,
    tell_done: Callable[[int], None],
) -> Dequantized:
    """Write a GGUF file's tensors as ``scratch/model.safetensors``.

    Parameters
    ----------
    dtype
        Of the tensors written.
    with_tokenizer
        Whether to write the tokenizer, too.
    tell_done
        Called with the bytes of the source that are done.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights`` or ``corrupt_tokenizer``.
    """
    # Alone in a directory: transformers would read other files beside it.
    inside = scratch / "gguf"
    inside.mkdir()
    (inside / source.name).symlink_to(source)
    try:
        config, digest = _convert(inside / source.name, scratch / SINGLE, dtype, tell_done)
    except InvalidInput:
        raise
    # A foreign file may break its reader in any way.
    except Exception as error:
        raise corrupt(source.name, f"it cannot be read ({type(error).__name__})") from error
    config["dtype"] = dtype.value
    small = {CONFIG: canonical_json(config)}
    if with_tokenizer:
        small |= _tokenizer(inside / source.name, scratch / "tokenizer")
    return Dequantized(digest, small)


def _convert(
    source: Path, target: Path, dtype: Dtype, tell_done: Callable[[int], None]
) -> tuple[dict[str, Any], str]:
    import torch
    from gguf import GGUFReader
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name)
    settings: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    for name in ("quantization_config", "_name_or_path", "transformers_version"):
        settings.pop(name, None)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    settings["architectures"] = [type(model).__name__]
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    kind: Any = TENSOR_PROCESSORS.get(architecture, TensorProcessor)
    processor = kind(config=settings)
    names = get_gguf_hf_weights_map(model, processor)
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    layout = [_place(tensor, names, shapes, source.name) for tensor in reader.tensors]
    named, position, placed = NAME_OF[dtype], 0, []
    for name in layout:
        end = position + prod(shapes[name]) * ITEM_BITS[named] // 8
        placed.append(Tensor(name, named, shapes[name], position, end))
        position = end
    digest, to = hashlib.sha256(), getattr(torch, dtype.value)
    with target.open("wb") as out:
        head = render_header(placed, {"format": "pt"})
        out.write(head)
        digest.update(head)
        for tensor in reader.tensors:
            for values in _pieces(tensor, processor):
                piece = values.to(to).contiguous().reshape(-1).view(torch.uint8).numpy().data
                out.write(piece)
                digest.update(piece)
            _let_go(reader)
            tell_done(int(tensor.data_offset) + int(tensor.n_bytes))
        out.flush()
        os.fsync(out.fileno())
    return settings, digest.hexdigest()


def _let_go(reader: Any) -> None:
    """Let the system drop the file's pages; they are only read."""
    if sys.platform == "linux":
        reader.data._mmap.madvise(mmap.MADV_DONTNEED)


def _place(
    tensor: Any, names: dict[str, str], shapes: dict[str, tuple[int, ...]], file: str
) -> str:
    name = names.get(tensor.name)
    if name is None or name not in shapes:
        raise corrupt(file, f"{tensor.name} has no place in its architecture")
    found = tuple(int(n) for n in reversed(tensor.shape))
    if found != shapes[name]:
        raise corrupt(file, f"{tensor.name} is {list(found)} where {list(shapes[name])} is needed")
    return name


def _pieces(tensor: Any, processor: Any) -> Iterator[torch.Tensor]:
    """Yield a tensor's values in pieces of whole rows, as floats."""
    import torch
    from gguf import dequantize

    def floats(rows: np.ndarray) -> torch.Tensor:
        values = dequantize(rows, tensor.tensor_type)
        values = processor.process(weights=values, name=tensor.name).weights
        return torch.from_numpy(values.copy())

    rows = tensor.data
    if rows.ndim < 2 or any(part in tensor.name for part in _PERMUTED):
        yield floats(rows)
        return
    step = max(1, _PIECE_ELEMENTS // int(tensor.shape[0]))
    for start in range(0, rows.shape[0], step):
        yield floats(rows[start : start + step])


def _tokenizer(source: Path, target: Path) -> dict[str, bytes]:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        tokenizer.save_pretrained(target)
    # A foreign file may break its reader in any way.
    except Exception as error:
        raise InvalidInput(
            f"The tokenizer inside {source.name} cannot be read.",
            field="model_identifier",
            reason="corrupt_tokenizer",
            file=source.name,
            remedy="Put the tokenizer.json of the original checkpoint beside it.",
        ) from error
    return {p.name: p.read_bytes() for p in target.iterdir() if p.name in TOKENIZER_FILES}
