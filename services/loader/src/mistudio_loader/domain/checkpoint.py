"""Which files of a directory or repository are the checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mistudio_contracts.errors import InvalidInput

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
GENERATION_CONFIG = "generation_config.json"

TOKENIZER_FILES: frozenset[str] = frozenset(
    {
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "chat_template.jinja",
    }
)
"""Files that decide how text becomes tokens. Nothing else of a repository is ever copied."""

_PART = re.compile(r"^model-(\d{5})-of-(\d{5})\.safetensors$")
_PICKLE = re.compile(r"^(pytorch_model|model|consolidated).*\.(bin|pt|pth)$")
_MAX_INDEX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Selection:
    """The files of a checkpoint, by name; each list is sorted."""

    weights: tuple[str, ...]
    tokenizer: tuple[str, ...]
    generation_config: bool

    @property
    def small(self) -> tuple[str, ...]:
        """Config, generation config and tokenizer files."""
        extra = (GENERATION_CONFIG,) if self.generation_config else ()
        return (CONFIG, *extra, *self.tokenizer)


def select(names: Collection[str], weight_map: dict[str, str] | None) -> Selection:
    """Choose the files of a checkpoint.

    Parameters
    ----------
    names
        Every file name there is at the top level.
    weight_map
        Tensor → file from the index, or None when there is no index.

    Raises
    ------
    InvalidInput
        ``reason`` is ``no_config``, ``no_weights``, ``pickle_refused`` or ``missing_shards``.
    """
    present = set(names)
    if CONFIG not in present:
        raise InvalidInput(
            "There is no config.json.",
            field="model_identifier",
            reason="no_config",
            remedy="Point at a directory or repository saved with save_pretrained.",
        )
    weights = _weights(present, weight_map)
    missing = sorted(weights - present)
    if missing:
        raise InvalidInput(
            f"Weight files are missing: {', '.join(missing)}.",
            field="model_identifier",
            reason="missing_shards",
            missing=missing,
            remedy="Copy or download the missing files.",
        )
    return Selection(
        tuple(sorted(weights)),
        tuple(sorted(present & TOKENIZER_FILES)),
        GENERATION_CONFIG in present,
    )


def _weights(present: set[str], weight_map: dict[str, str] | None) -> set[str]:
    if weight_map:
        return set(weight_map.values())
    if SINGLE in present:
        return {SINGLE}
    parts = [match for name in present if (match := _PART.match(name))]
    if parts:
        total = max(int(match[2]) for match in parts)
        return {f"model-{n:05d}-of-{total:05d}.safetensors" for n in range(1, total + 1)}
    if any(name.endswith((".bin", ".pt", ".pth")) and _PICKLE.match(name) for name in present):
        raise InvalidInput(
            "The checkpoint holds only pickled weights, which may run code when read.",
            field="model_identifier",
            reason="pickle_refused",
            remedy="Convert it to safetensors.",
        )
    raise InvalidInput(
        "There are no weights.",
        field="model_identifier",
        reason="no_weights",
        remedy="Point at a checkpoint with model.safetensors or its shards.",
    )


def parse_index(raw: bytes) -> dict[str, str]:
    """Return tensor → file of an index.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``.
    """
    try:
        parsed: Any = json.loads(raw) if len(raw) <= _MAX_INDEX_BYTES else None
    except (ValueError, RecursionError):
        parsed = None
    found = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(found, dict) or not found or not all(map(_plain_file, found.values())):
        raise InvalidInput(
            f"{INDEX} does not map tensors to safetensors files beside it.",
            field="model_identifier",
            reason="corrupt_weights",
            file=INDEX,
            remedy="Copy or download the file again.",
        )
    return found


def _plain_file(name: Any) -> bool:
    return (
        isinstance(name, str)
        and name.endswith(".safetensors")
        and "/" not in name
        and "\\" not in name
        and not name.startswith(".")
    )


def check_index(weight_map: dict[str, str], tensors: dict[str, set[str]]) -> None:
    """Check that each tensor of the index is in the file it names.

    Parameters
    ----------
    weight_map
        Tensor → file, from the index.
    tensors
        File → names of the tensors in its header.

    Raises
    ------
    InvalidInput
        ``reason`` is ``corrupt_weights``, naming the first tensor that is not there.
    """
    for tensor, file in sorted(weight_map.items()):
        if tensor not in tensors.get(file, set()):
            raise InvalidInput(
                f"The index says that {file} holds {tensor}, and it does not.",
                field="model_identifier",
                reason="corrupt_weights",
                file=file,
                tensor=tensor,
                remedy="Copy or download the checkpoint again.",
            )


def render_index(files: dict[str, list[str]], total_bytes: int) -> bytes:
    """Return an index for ``files`` (file → tensor names), sorted by tensor."""
    weight_map = {tensor: file for file, names in files.items() for tensor in names}
    body = {
        "metadata": {"total_size": total_bytes},
        "weight_map": dict(sorted(weight_map.items())),
    }
    return (json.dumps(body, indent=2, sort_keys=True) + "\n").encode()
